"""Submits stages to Ray, under the same Prefect flow."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from flows.placement.ends import record_ends
from flows.placement.mailbox import Mailbox, PutInMailbox, Viewed
from flows.placement.ray_process import machines, running_ray
from flows.placement.submission import Future, Submit, parameters_of
from pkd_core.config.placement import is_cluster
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.needs import Machine, Needs, fitted, needs_of
from pkd_core.pipeline.specs import SpeedSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import is_stop_requested
from pkd_core.runtime.device import machine_of
from tasks.on_worker import Worker, run_on_worker
from tasks.progress import ShowStage
from tasks.reports import Send
from tasks.run_stage import task_for

logger = logging.getLogger(__name__)

# A stage is safe to be repeated, and goes on from its checkpoint: the store makes it so.
_MAX_RETRIES = 3
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_FOR_REPORTS = 10.0
_FOR_WORKERS = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
_DIED = "its worker process died"


@contextmanager
def on_ray(options: RunOptions, show: ShowStage) -> Iterator[Submit]:
    """Start Ray or connect to it, and yield what submits stages to it.

    Args:
        options: How the run works.
        show: Shows a stage while it is being built.

    Raises:
        ConfigError: It has no GPU, and one is asked for; or a cluster's token is not given.
        PkdError: It does not start, or cannot be reached.
    """
    begun = "connecting to" if is_cluster(options.placement) else "starting"
    logger.info("%s Ray ...", begun)
    with running_ray(options.placement):
        from prefect_ray import RayTaskRunner

        found = machines()
        has_gpu = _has_gpu(options, found)
        logger.info("Ray has %s", _describe(found))
        runner = RayTaskRunner()
        mailbox = _mailbox_here()
        submit = _SubmitToRay(runner, PutInMailbox(mailbox), found, has_gpu)
        with runner, _watching(submit, mailbox, Viewed(show)):
            yield submit
        record_ends(submit.futures)


def _mailbox_here() -> Any:
    """Start a mailbox on this machine: on another, it and what waits in it could be lost while the run goes on."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(Mailbox).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()


@dataclass(frozen=True)
class _SubmitToRay:
    """Submits stages to Ray.

    Attributes:
        runner: Prefect's task runner for Ray.
        send: What workers send their reports by.
        machines: What there is.
        has_gpu: Whether models are computed on GPUs.
        futures: Of the stages that were submitted.
    """

    runner: Any
    send: Send
    machines: list[Machine]
    has_gpu: bool
    futures: list[Any] = field(default_factory=list)

    def __call__(self, stage: Stage, inputs: Mapping[str, Any], context: RunContext, refresh: bool) -> Future:
        """Submit a stage."""
        from prefect_ray.context import remote_options

        model_folder = context.model_of(stage).folder
        has_gpu = self.has_gpu and not _is_timed_on_processor(stage)
        needs = needs_of(stage, context.options, model_folder, has_gpu)
        worker = Worker("cuda" if needs.gpus else "cpu", _environment(), self.send)
        with remote_options(**_remote(fitted(needs, self.machines, stage.key))):
            future: Future = self.runner.submit(
                task_for(stage, context.workspace, refresh, run_on_worker),
                {**parameters_of(stage, inputs, context), "worker": worker},
            )
        self.futures.append(future)
        return future

    def cancel(self) -> None:
        """Ask every stage that has not ended to stop at its next step; those that have not begun end at once."""
        import ray

        references = [future.wrapped_future for future in list(self.futures)]
        if references:
            _, unfinished = ray.wait(references, num_returns=len(references), timeout=0)
            for reference in unfinished:
                ray.cancel(reference, force=False)


@contextmanager
def _watching(submit: _SubmitToRay, mailbox: Any, viewed: Viewed) -> Iterator[None]:
    """Show what workers report, and pass a request to stop on to them, while the body runs."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=[submit, mailbox, viewed, ended], name="ray", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(submit: _SubmitToRay, mailbox: Any, viewed: Viewed, ended: threading.Event) -> None:
    import ray

    is_last = False
    while not is_last:
        is_last = ended.wait(_SECONDS_BETWEEN_LOOKS)
        # What shows a run must not end it.
        with suppress(ray.exceptions.RayError):
            for report in ray.get(mailbox.take.remote(), timeout=_SECONDS_FOR_REPORTS):
                viewed.take(report)
        if is_stop_requested():
            # Each time: what comes while a worker is just starting a stage would be lost.
            with suppress(ray.exceptions.RayError):
                submit.cancel()
    viewed.end_all(_DIED)


def _environment() -> dict[str, str]:
    """Return where MLflow is, and its login; Prefect passes its own settings on."""
    return {name: os.environ[name] for name in _FOR_WORKERS if name in os.environ}


def _remote(needs: Needs) -> dict[str, Any]:
    """Return what stage needs as Ray's options for a task."""
    return {
        "num_cpus": needs.cores,
        "num_gpus": needs.gpus,
        "memory": needs.memory,
        "max_retries": _MAX_RETRIES,
    }


def _is_timed_on_processor(stage: Stage) -> bool:
    """Return whether a speed was planned by a machine without GPU, for the processor."""
    return isinstance(stage.spec, SpeedSpec) and stage.spec.machine == machine_of("cpu")


def _has_gpu(options: RunOptions, found: list[Machine]) -> bool:
    has_gpu = any(machine.gpus for machine in found)
    if options.device.startswith("cuda") and not has_gpu:
        raise ConfigError(
            f"--device {options.device} needs a GPU, and Ray has none; give --device auto or cpu."
        )
    return has_gpu and options.device != "cpu"


def _describe(found: list[Machine]) -> str:
    cores, gpus = sum(machine.cores for machine in found), sum(machine.gpus for machine in found)
    number = "1 machine" if len(found) == 1 else f"{len(found)} machines"
    return f"{number}, {cores} cores and {gpus:g} GPUs"
