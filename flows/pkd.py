"""The flow `pkd`: every stage of every task submitted at once, each waiting only for its own inputs."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.dead_threads import ending_at_dead_threads
from flows.environment import show_progress
from flows.form import parameters_section, parameters_signature
from flows.pages import show_plan, show_report
from flows.prepare import prepare
from flows.request import Request
from flows.run_file import run_file, write_run_file
from flows.run_name import run_name
from flows.service.root import check_below_root
from flows.stopping import received_signal, redeliver, stopping_at_signals
from flows.summary import count_done, name_failures
from pkd_core.errors import PkdError, StoreError
from pkd_core.pipeline.dag import report_stage
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan, PlannedStage
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.address import StageRecord
from pkd_core.store.os_errors import resource_errors
from pkd_core.store.stage_store import StageStatus
from tasks.completeness import find_incomplete
from tasks.progress import ShowStage, show_in_log
from tasks.run_stage import task_for

Future = PrefectFuture[Any]


def build_flow(
    make_plan: Callable[[Request], Plan] = prepare, show: ShowStage = show_in_log
) -> Flow[..., State[Any]]:
    """Return the flow `pkd`.

    Args:
        make_plan: Plans the requested run; `pkd run` has a plan already and passes it on, so that it is made once.
        show: Shows each stage while it is being built.
    """

    def pkd(**parameters: Any) -> State[Any]:
        """Distil students for every task, running only the stages that are not done."""
        # Prefect copies this function into the process of a deployment's run; all it calls is imported there.
        return _run(parameters, make_plan, show)

    pkd.__signature__ = parameters_signature()  # type: ignore[attr-defined]
    pkd.__doc__ = f"{pkd.__doc__}\n\n{parameters_section()}"
    return flow(name="pkd", flow_run_name=run_name, validate_parameters=False)(pkd)


def _run(parameters: Mapping[str, Any], make_plan: Callable[[Request], Plan], show: ShowStage) -> State[Any]:
    try:
        request = Request.from_parameters(parameters)
        if deployment.id:
            # A deployment's run is a process of its own, which nobody else has set up.
            show_progress()
            check_below_root(request.workspace)
            configure_process()
        plan = make_plan(request)
        # Prefect's own thread for such calls opens files when it starts, and hangs if it may open no more.
        run_coro_as_sync(asyncio.sleep(0))
        show_plan(plan)
        ending = ending_at_dead_threads() if deployment.id else nullcontext()
        with resource_errors("this run"), plan.recorded() as record, stopping_at_signals(), ending:
            write_run_file(request, run_file(record))
            state = _run_stages(_Work.of(plan, request, show))
    except PkdError as error:
        return Failed(message=str(error))
    if stopped := received_signal():
        redeliver(stopped)
        return Failed(message="Stopped; the same run goes on from there.")
    return state


@dataclass(frozen=True)
class _Work:
    """A run to be submitted.

    Attributes:
        plan: The run.
        context: Where and how it works.
        show: Shows a stage while it is being built.
        incomplete: Keys of done stages that MLflow lacks a part of.
    """

    plan: Plan
    context: RunContext
    show: ShowStage
    incomplete: Collection[str]

    @classmethod
    def of(cls, plan: Plan, request: Request, show: ShowStage) -> Self:
        return cls(plan, plan.context(request.options), show, find_incomplete(plan))

    def must_run(self, planned: PlannedStage) -> bool:
        """Return whether a stage is to run whatever Prefect has recorded of it."""
        return planned.status is not StageStatus.DONE or planned.stage.key in self.incomplete


def _run_stages(work: _Work) -> State[Any]:
    futures = _submit(work)
    for future in futures.values():
        future.wait()
    failures = name_failures(futures)
    report = None if received_signal() else _submit_report(work, futures, failures)
    if report is not None:
        report.wait()
        key = work.plan.stages[-1].stage.key
        failures |= name_failures({key: report})
        if report.state.is_completed():
            try:
                show_report(work.context.workspace, StageRecord.from_json(report.result()))
            except StoreError as error:
                failures[key] = str(error)
    message = count_done(work.plan, failures)
    return Failed(message=message) if failures else Completed(message=message)


def _submit(work: _Work) -> dict[str, Future]:
    """Submit every stage but the report, in the plan's order, and return its future by the stage's key."""
    futures: dict[str, Future] = {}
    for planned in work.plan.stages:
        if planned.stage.kind is not StageKind.REPORT:
            futures[planned.stage.key] = _submit_one(work, planned.stage, futures, work.must_run(planned))
    return futures


def _submit_one(work: _Work, stage: Stage, futures: Mapping[str, Future], refresh: bool) -> Future:
    task = task_for(stage, work.context.workspace, refresh)
    inputs = {part: futures[key] for part, key in stage.inputs.items()}
    future: Future = task.submit(
        stage=stage, inputs=inputs, context=work.context, flow_run=str(flow_run.get_name()), show=work.show
    )
    return future


def _submit_report(work: _Work, futures: Mapping[str, Future], failures: Mapping[str, str]) -> Future | None:
    """Submit the report over the evaluations that completed; None if there is none."""
    plan = work.plan
    planned = plan.stages[-1]
    completed = [one.stage for one in plan.stages[:-1] if futures[one.stage.key].state.is_completed()]
    if not any(stage.kind is StageKind.EVALUATION for stage in completed):
        return None
    if failures:
        partial = report_stage(plan.run, completed, failures, plan.models)
        return _submit_one(work, partial, futures, refresh=True)
    return _submit_one(work, planned.stage, futures, work.must_run(planned))


pkd = build_flow()
