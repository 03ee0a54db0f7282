"""Computes a stage in several processes of this machine: each has its part of every batch, or shards of its own.

This process starts them, takes what they report, does what only one may do (metrics, the record of finished files,
what is sent to other machines), and ends all of them when one ends early.
"""

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkd_core import errors
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError, LostProcessError, PkdError, shortened
from pkd_core.pipeline.facts import Facts, TeacherStatesFacts, TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.rank_task import RankTask
from pkd_core.pipeline.specs import StudentSpec, TeacherSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.runtime.children import Children
from pkd_core.runtime.group import SECONDS_TO_ANSWER

logger = logging.getLogger(__name__)

# The kinds that are divided, and what they report.
_FACTS: Mapping[StageKind, type[Facts]] = {
    StageKind.TEACHER: TrainingFacts,
    StageKind.STUDENT: TrainingFacts,
    StageKind.STATES: TeacherStatesFacts,
}
# Those that wait for a process that ended end at once; then one of them knows why.
_SECONDS_FOR_REASONS = 2.0
# Of the errors of gloo and NCCL.
_TIMED_OUT = ("Timed out waiting", "timed out", "timeout")


def num_processes(stage: Stage, options: RunOptions) -> int:
    """Return how many processes compute a stage."""
    return options.processes if stage.kind in _FACTS else 1


def check_processes(stages: Sequence[Stage], options: RunOptions) -> None:
    """Check that each process of a training would get parts of a batch, and all the same number of them.

    Raises:
        ConfigError: The settings divide a batch into another number of parts.
    """
    for stage in stages:
        if isinstance(stage.spec, TeacherSpec | StudentSpec):
            num_parts = stage.spec.training.accumulation_steps
            if num_parts % options.processes:
                key = f"{'teacher' if isinstance(stage.spec, TeacherSpec) else 'student'}.accumulation_steps"
                raise ConfigError(
                    f"--processes {options.processes} needs {key} to be a multiple of {options.processes}, got "
                    f"{num_parts}: each process computes its parts of a batch; set {key}={options.processes}."
                )


def compute_in_processes(job: Job, size: int) -> Facts:
    """Compute a training or an extraction in several processes, and return what it reports.

    Raises:
        ConfigError: There are fewer GPUs than processes.
        LostProcessError: A process has ended, or did not answer.
        StoppedError: A stop was requested; a training has saved a checkpoint.
        PkdError: The stage failed.
    """
    devices = _devices(job.context.options.device, size)
    with tempfile.TemporaryDirectory(prefix="pkd-") as folder:
        tasks = [RankTask.of(job, rank, devices, Path(folder, "meeting")) for rank in range(size)]
        messages = [task.to_json() for task in tasks]
        with Children("pkd_core.pipeline.rank_process", messages) as children:
            return _FACTS[job.stage.kind].model_validate(_Attendant(job, children, size).attend())


def _devices(name: str, size: int) -> list[str]:
    """Return each process's device, without using any here."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return ["cpu"] * size
    if name != "cuda":
        raise ConfigError(f"--processes {size} needs --device auto, cuda or cpu, got {name}.")
    if torch.cuda.device_count() < size:
        raise ConfigError(
            f"--processes {size} needs as many GPUs, and {torch.cuda.device_count()} can be seen here; give fewer "
            "--processes."
        )
    return [f"cuda:{rank}" for rank in range(size)]


class _Attendant:
    """Follows the processes of a stage until all have ended."""

    def __init__(self, job: Job, children: Children, size: int) -> None:
        self._job = job
        self._children = children
        self._running = set(range(size))
        self._size = size
        self._done = [0] * size
        self._facts: Any = None
        self._stopped: StoppedError | None = None
        self._errors: dict[int, PkdError] = {}

    def attend(self) -> Any:
        """Return the facts that rank 0 reports, as JSON values."""
        deadline: float | None = None
        lost: dict[int, int] = {}
        while self._running:
            if deadline is None and (self._errors or lost):
                deadline = time.monotonic() + _SECONDS_FOR_REASONS
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            received = self._children.receive(left)
            if received is None:
                break
            rank, message = received
            if message is not None:
                self._take(rank, message)
                continue
            self._running.remove(rank)
            if status := self._children.status(rank):
                lost[rank] = status
        if self._stopped and not lost:
            raise self._stopped
        if self._errors:
            raise self._errors[min(self._errors)]
        if lost:
            raise self._lost(lost)
        return self._facts

    def _take(self, rank: int, message: Mapping[str, Any]) -> None:
        observer = self._job.observer
        match message:
            case {"metrics": [step, values]}:
                observer.metrics(step, values)
            case {"progress": [done, total, unit]}:
                self._done[rank] = done
                self._progress(total, unit)
            case {"ask": [request, *arguments]}:
                self._do(request, arguments)
                self._children.send(rank, "done")
            case {"log": [name, level, text]}:
                logging.getLogger(name).log(level, "%s", text)
            case {"facts": facts} if rank == 0:
                self._facts = facts
            case {"error": [kind, sentence]} if kind != StoppedError.__name__:
                self._errors[rank] = getattr(errors, kind, PkdError)(sentence)

    def _progress(self, total: int, unit: str) -> None:
        if self._stopped:
            return
        try:
            self._job.observer.progress(sum(self._done), total, unit)
        except StoppedError as error:
            self._stopped = error
            for rank in self._running:
                self._children.send(rank, "stop")

    def _do(self, request: str, arguments: Sequence[str]) -> None:
        job = self._job
        match request:
            case "flush":
                job.observer.flush()
            case "check_inputs":
                job.check_inputs()
            case "keep":
                job.keep()
            case "finished":
                job.finished.add(*arguments)

    def _lost(self, lost: Mapping[int, int]) -> LostProcessError:
        """Return the sentence for processes that ended without one, by their status."""
        written = {rank: self._children.written(rank).strip() for rank in sorted(lost)}
        for rank, text in written.items():
            logger.error("%s, process %d of %d: %s", self._job.stage.key, rank + 1, self._size, text)
        killed = [rank for rank, status in lost.items() if status < 0]
        if killed:
            rank, what = killed[0], f"was killed (signal {-lost[killed[0]]})"
        elif self._running and any(word in text for text in written.values() for word in _TIMED_OUT):
            rank, what = min(self._running), f"did not answer for {SECONDS_TO_ANSWER:.0f} s"
        else:
            rank = min(lost)
            last_line = written[rank].rpartition("\n")[2]
            what = f"ended with status {lost[rank]} ({shortened(last_line, 200)})"
        return LostProcessError(
            f"{self._job.stage.key} needs all of its {self._size} processes, and number {rank + 1} {what}; the same "
            "command goes on from its last checkpoint."
        )
