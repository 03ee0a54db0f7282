"""The flow `pkd`: every stage of every task submitted at once, each waiting only for its own inputs."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.environment import show_progress
from flows.pages import show_plan, show_report
from flows.prepare import prepare
from flows.stopping import received_signal, redeliver, stopping_at_signals
from flows.summary import count_done, name_failures
from pkd_core.config.overrides import build_run_config
from pkd_core.config.settings import DEFAULT_MODEL, METHODS, RunConfig
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import PkdError, StoreError
from pkd_core.pipeline.dag import report_stage
from pkd_core.pipeline.job import Context
from pkd_core.pipeline.plan import Plan, PlannedStage
from pkd_core.pipeline.stage import Stage, StageKind
from pkd_core.store.address import StageRecord
from pkd_core.store.os_errors import resource_errors
from pkd_core.store.stage_store import StageStatus
from tasks.device import divide_cores
from tasks.run_stage import task_for

Future = PrefectFuture[Any]


def _run_name() -> str:
    return f"pkd {' '.join(flow_run.get_parameters()['tasks'])}"


@flow(name="pkd", flow_run_name=_run_name, validate_parameters=False)
def pkd(
    tasks: Sequence[str] = tuple(GLUE_TASKS),
    methods: Sequence[str] = METHODS,
    student_layers: Sequence[int] | None = None,
    seeds: Sequence[int] = (42,),
    model: str = DEFAULT_MODEL,
    settings: Mapping[str, Any] | None = None,
    workspace: str = ".",
    device: str = "auto",
    deep: bool = False,
    strict: bool = False,
    checkpoint_minutes: float = 5.0,
    share: int = 1,
) -> State[Any]:
    """Distil students for every task, running only the stages that are not done.

    Args:
        tasks: GLUE tasks, or the user's own folders in data_raw.
        methods: Any of finetune, kd, pkd-skip, pkd-last.
        student_layers: Depths of the students; half the teacher's when None.
        seeds: One student a seed for every method and depth.
        model: Pretrained BERT, a folder or a name on the Hugging Face hub.
        settings: Dotted keys over the presets, such as {"distill.temperature": 5}.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        device: "auto", or a torch device such as "cuda:0".
        deep: Hash every published file before taking it as whole.
        strict: Take a teacher that has learnt nothing for an error, instead of warning of it.
        checkpoint_minutes: How often a training leaves a checkpoint, besides at each epoch's end.
        share: How many runs of the workspace may compute on one device at once.

    Returns:
        A completed state, or a failed one that names each root cause.
    """
    # A deployment's run is a process of its own, in which nobody else has.
    show_progress()
    root = Path(workspace).resolve()
    try:
        run = build_run_config(
            tasks=tasks,
            methods=methods,
            student_layers=student_layers,
            seeds=seeds,
            model=model,
            settings=settings or {},
        )
        plan = prepare(run, root, device, deep)
        # Prefect's own thread for such calls opens files when it starts, and waits for ever where it may open no more.
        run_coro_as_sync(asyncio.sleep(0))
        show_plan(plan)
        context = Context(root, plan.model.folder, device, deep, strict, 60.0 * checkpoint_minutes, share)
        divide_cores(context.torch_device, share)
        with resource_errors("this run"), plan.noted(root), stopping_at_signals():
            state = _run_stages(run, plan, context)
    except PkdError as error:
        return Failed(message=str(error))
    if stopped := received_signal():
        redeliver(stopped)
        return Failed(message="Stopped; the same run goes on from there.")
    return state


def _run_stages(run: RunConfig, plan: Plan, context: Context) -> State[Any]:
    futures = _submit(plan, context)
    for future in futures.values():
        future.wait()
    failures = name_failures(futures)
    report = None if received_signal() else _submit_report(run, plan, context, futures, failures)
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


def _submit(plan: Plan, context: Context) -> dict[str, Future]:
    """Submit every stage but the report, in the plan's order, and return its future by the stage's key."""
    futures: dict[str, Future] = {}
    for planned in plan.stages:
        if planned.stage.kind is not StageKind.REPORT:
            futures[planned.stage.key] = _submit_one(planned, context, futures)
    return futures


def _submit_one(planned: PlannedStage, context: Context, futures: Mapping[str, Future]) -> Future:
    stage = planned.stage
    task = task_for(stage, context.workspace, refresh=planned.status is not StageStatus.DONE)
    inputs = {part: futures[key] for part, key in stage.inputs.items()}
    future: Future = task.submit(
        stage=stage, inputs=inputs, context=context, flow_run=str(flow_run.get_name())
    )
    return future


def _submit_report(
    run: RunConfig, plan: Plan, context: Context, futures: Mapping[str, Future], failures: Mapping[str, str]
) -> Future | None:
    """Submit the report over the evaluations that completed; None if there is none."""
    planned = plan.stages[-1]
    evaluations = [one.stage for one in plan.stages if one.stage.kind is StageKind.EVALUATION]
    completed = [stage for stage in evaluations if futures[stage.key].state.is_completed()]
    if not completed:
        return None
    if failures:
        partial: Stage = report_stage(run, completed, failures, plan.model.num_layers)
        planned = PlannedStage(partial, StageStatus.MISSING, "some chains failed")
    return _submit_one(planned, context, futures)
