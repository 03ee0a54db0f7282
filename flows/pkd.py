"""The flow `pkd`: every stage of every task submitted at once, each waiting only for its own inputs."""

import asyncio
import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.dead_threads import ending_at_dead_threads
from flows.environment import show_progress
from flows.pages import show_plan, show_report
from flows.prepare import prepare
from flows.request import Request
from flows.service.root import check_below_root
from flows.stopping import received_signal, redeliver, stopping_at_signals
from flows.summary import count_done, name_failures
from pkd_core.config.settings import RunConfig, RunOptions
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import PkdError, StoreError, shortened
from pkd_core.pipeline.dag import report_stage
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.address import StageRecord
from pkd_core.store.os_errors import resource_errors
from pkd_core.store.stage_store import StageStatus
from tasks.completeness import find_incomplete
from tasks.run_stage import task_for

Future = PrefectFuture[Any]


def build_flow(make_plan: Callable[[Request], Plan] = prepare) -> Flow[..., State[Any]]:
    """Return the flow `pkd`.

    Args:
        make_plan: Plans the requested run; `pkd run` has a plan already and passes it on, so that it is made once.
    """

    def pkd(**parameters: Any) -> State[Any]:
        """Distil students for every task, running only the stages that are not done."""
        # Prefect copies this function into the process of a deployment's run; all it calls is imported there.
        return _run(parameters, make_plan)

    pkd.__signature__ = _signature()  # type: ignore[attr-defined]
    pkd.__doc__ = f"{pkd.__doc__}\n\n{_arguments_section()}"
    return flow(name="pkd", flow_run_name=_run_name, validate_parameters=False)(pkd)


def _run(parameters: Mapping[str, Any], make_plan: Callable[[Request], Plan]) -> State[Any]:
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
        with resource_errors("this run"), plan.recorded(), stopping_at_signals(), ending:
            state = _run_stages(plan, plan.context(request.options))
    except PkdError as error:
        return Failed(message=str(error))
    if stopped := received_signal():
        redeliver(stopped)
        return Failed(message="Stopped; the same run goes on from there.")
    return state


def _arguments_section() -> str:
    """Return the docstring's section from which Prefect's page describes each parameter."""
    fields = RunConfig.model_fields | RunOptions.model_fields
    lines = [f"    {name}: {field.description}" for name, field in fields.items()]
    return "\n".join(["Args:", *lines, "    workspace: Folder that holds data_raw, data_feat and artifacts."])


def _signature() -> inspect.Signature:
    """Return one keyword for each field of RunConfig and RunOptions, and one for the workspace."""
    defaults = {"tasks": tuple(GLUE_TASKS)}
    fields = RunConfig.model_fields | RunOptions.model_fields
    keywords = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name, field.default),
            annotation=field.annotation,
        )
        for name, field in fields.items()
    ]
    workspace = inspect.Parameter("workspace", inspect.Parameter.KEYWORD_ONLY, default=".", annotation=str)
    return inspect.Signature([*keywords, workspace], return_annotation=State)


def _run_name() -> str:
    tasks = flow_run.get_parameters()["tasks"]
    # As they were sent: the flow, which checks them, has not begun.
    names = tasks if isinstance(tasks, list | tuple) else [tasks]
    return shortened(f"pkd {' '.join(map(str, names))}", 100)


def _run_stages(plan: Plan, context: RunContext) -> State[Any]:
    incomplete = find_incomplete(plan)
    futures = _submit(plan, context, incomplete)
    for future in futures.values():
        future.wait()
    failures = name_failures(futures)
    report = None if received_signal() else _submit_report(plan, context, futures, failures, incomplete)
    if report is not None:
        report.wait()
        key = plan.stages[-1].stage.key
        failures |= name_failures({key: report})
        if report.state.is_completed():
            try:
                show_report(context.workspace, StageRecord.from_json(report.result()))
            except StoreError as error:
                failures[key] = str(error)
    message = count_done(plan, failures)
    return Failed(message=message) if failures else Completed(message=message)


def _submit(plan: Plan, context: RunContext, incomplete: Collection[str]) -> dict[str, Future]:
    """Submit every stage but the report, in the plan's order, and return its future by the stage's key.

    Args:
        plan: The run.
        context: Where and how it works.
        incomplete: Keys of done stages that MLflow lacks a part of.
    """
    futures: dict[str, Future] = {}
    for planned in plan.stages:
        if planned.stage.kind is not StageKind.REPORT:
            refresh = planned.status is not StageStatus.DONE or planned.stage.key in incomplete
            futures[planned.stage.key] = _submit_one(planned.stage, context, futures, refresh)
    return futures


def _submit_one(stage: Stage, context: RunContext, futures: Mapping[str, Future], refresh: bool) -> Future:
    task = task_for(stage, context.workspace, refresh)
    inputs = {part: futures[key] for part, key in stage.inputs.items()}
    future: Future = task.submit(
        stage=stage, inputs=inputs, context=context, flow_run=str(flow_run.get_name())
    )
    return future


def _submit_report(
    plan: Plan,
    context: RunContext,
    futures: Mapping[str, Future],
    failures: Mapping[str, str],
    incomplete: Collection[str],
) -> Future | None:
    """Submit the report over the evaluations that completed; None if there is none."""
    planned = plan.stages[-1]
    evaluations = [one.stage for one in plan.stages if one.stage.kind is StageKind.EVALUATION]
    completed = [stage for stage in evaluations if futures[stage.key].state.is_completed()]
    if not completed:
        return None
    if failures:
        partial = report_stage(plan.run, completed, failures, plan.model)
        return _submit_one(partial, context, futures, refresh=True)
    refresh = planned.status is not StageStatus.DONE or planned.stage.key in incomplete
    return _submit_one(planned.stage, context, futures, refresh)


pkd = build_flow()
