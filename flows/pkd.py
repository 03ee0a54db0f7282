"""The flow `pkd`: every stage of every task submitted at once, each waiting only for its own inputs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.flow_process import end_in_sentence, set_up_process, working
from flows.form import parameters_section, parameters_signature
from flows.pages import show_plan, show_report
from flows.placement.placing import placing
from flows.placement.submission import Future, Submit
from flows.prepare import prepare
from flows.request import Request
from flows.run_file import run_file, write_run_file
from flows.run_name import run_name
from flows.stopping import received_signal
from flows.summary import count_done, name_failures
from flows.workspace import given_workspace
from pkd_core.errors import StoreError
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan, PlannedStage
from pkd_core.pipeline.report_stages import report_stage
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStatus
from tasks.completeness import find_incomplete
from tasks.progress import ShowStage, show_in_log


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
    def work() -> State[Any]:
        request = Request.build(parameters, given_workspace(parameters))
        set_up_process(request.workspace)
        plan = make_plan(request)
        options = request.options
        with working(), plan.recorded() as record, placing(options, request.workspace, show) as submit:
            show_plan(plan)
            write_run_file(request.parameters(), run_file(record))
            return _run_stages(_Work.of(plan, request, submit))

    return end_in_sentence(work)


@dataclass(frozen=True)
class _Work:
    """A run to be submitted.

    Attributes:
        plan: The run.
        context: Where and how it works.
        submit: Submits a stage.
        incomplete: Keys of done stages that MLflow lacks a part of.
    """

    plan: Plan
    context: RunContext
    submit: Submit
    incomplete: Collection[str]

    @classmethod
    def of(cls, plan: Plan, request: Request, submit: Submit) -> Self:
        return cls(plan, plan.context(request.options), submit, find_incomplete(plan))

    def must_run(self, planned: PlannedStage) -> bool:
        """Return whether a stage is to run whatever Prefect has recorded of it."""
        return planned.status is not StageStatus.DONE or planned.stage.key in self.incomplete


def _run_stages(work: _Work) -> State[Any]:
    futures = _submit(work)
    for future in futures.values():
        future.wait()
    failures = name_failures(futures, (planned.stage for planned in work.plan.stages))
    report = None if received_signal() else _submit_report(work, futures, failures)
    if report is not None:
        report.wait()
        key = work.plan.stages[-1].stage.key
        failures |= name_failures({key: report}, [work.plan.stages[-1].stage])
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
    return work.submit(stage, futures, work.context, refresh)


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
