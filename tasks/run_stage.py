"""One thin Prefect task for each kind of stage: cached by its inputs, alone in its process, tracked in MLflow."""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Failed
from prefect.transactions import get_transaction

from pkd_core.errors import DamagedError, PkdError, StoreError
from pkd_core.pipeline.build import build
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.attached import place_of
from pkd_core.store.fingerprint import fingerprint
from pkd_core.store.local_cache import in_use
from pkd_core.store.os_errors import resource_errors
from pkd_core.store.stage_store import StageStore
from tasks.progress import ProgressObserver, ShowStage
from tasks.stage_tracking import log_stage, track_stage
from tasks.turns import Turns, rank_of

# torch's random state belongs to the process: two trainings would change each other's random numbers.
_turns = Turns()
_COMPUTES = (
    StageKind.TEACHER,
    StageKind.STATES,
    StageKind.STUDENT,
    StageKind.SPEED,
    StageKind.EVALUATION,
    StageKind.DISTANCES,
    # On the processor, which trainings use too.
    StageKind.LATENCY_CANDIDATES,
    StageKind.LATENCY,
)


def run_stage(
    stage: Stage,
    inputs: Mapping[str, Mapping[str, Any]],
    context: RunContext,
    flow_run: str,
    show: ShowStage,
) -> dict[str, Any] | State[Any]:
    """Build one stage and return its record as JSON; a user's mistake becomes a failed state of one sentence."""
    records = {part: StageRecord.from_json(record) for part, record in inputs.items()}
    try:
        with show(stage.key) as shown, resource_errors(stage.key):
            context = context.here()
            track = functools.partial(
                track_stage, context=context, flow_run=flow_run, progress=ProgressObserver(stage, shown)
            )
            with in_use(context.workspace, [stage.address]):
                record = build(stage, records, context, track, functools.partial(_turn, stage))
                # Another run that has just found the stage done would log the same a second time.
                with StageStore(context.workspace).locked(stage.address):
                    log_stage(stage, records, record, context, flow_run)
    except PkdError as caught:
        error = _set_aside(stage, context, caught) if isinstance(caught, DamagedError) else caught
        # Prefect would keep a record of the failure, and return it as the result once the stage's files exist.
        if transaction := get_transaction():
            transaction.write_on_commit = False
        return Failed(message=str(error))
    return record.to_json()


def _set_aside(stage: Stage, context: RunContext, damage: DamagedError) -> StoreError:
    """Move a published stage that turned out to be damaged to the backups, and return the sentence for the user."""
    backup = StageStore(context.workspace).set_aside(stage.address)
    place = f"it was moved to {backup}" if backup else "another run is building it again"
    return StoreError(f"MLflow needs {stage.key} as it was published, but {damage}; {place}: run again.")


def cache_key(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Address a result by the stage's fingerprint and the bytes of its inputs."""
    stage: Stage = parameters["stage"]
    digests = {part: record["digest"] for part, record in parameters["inputs"].items()}
    return f"{stage.kind}-{stage.fingerprint}-{fingerprint('record', 1, {}, digests)}"


def task_for(
    stage: Stage, workspace: Path, refresh: bool, build_it: Callable[..., Any] = run_stage
) -> Task[..., Any]:
    """Return the Prefect task that builds a stage.

    Args:
        stage: The stage; its key is the task run's name.
        workspace: Where the results' records are kept. A place that several machines share is asked instead.
        refresh: Run even if Prefect has a record: the files that it names are missing, damaged or stale.
        build_it: Builds it: `run_stage`, or what calls that in another process.
    """
    if place_of(workspace) is not None:
        return Task(
            build_it,
            name=stage.kind.value,
            task_run_name=stage.key,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
    return Task(
        build_it,
        name=stage.kind.value,
        task_run_name=stage.key,
        cache_policy=CacheKeyFnPolicy(cache_key_fn=cache_key),
        persist_result=True,
        result_storage=workspace / "artifacts" / "prefect" / "records",
        result_serializer="json",
        refresh_cache=refresh,
    )


def _turn(stage: Stage) -> AbstractContextManager[Any]:
    """Wait until no other stage of this process computes, if this one does."""
    # A transfer set computes with threads only if it runs a model.
    if stage.kind not in _COMPUTES and stage.threads is None:
        return nullcontext()
    return _turns.turn(rank_of(stage))
