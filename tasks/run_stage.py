"""One thin Prefect task a kind of stage: cached by its inputs, limited on the device, watched by MLflow."""

import functools
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Failed
from prefect.transactions import get_transaction

from pkd_core.errors import PkdError
from pkd_core.pipeline.build import build
from pkd_core.pipeline.job import Context
from pkd_core.pipeline.stage import Stage, StageKind
from pkd_core.store.address import StageRecord
from pkd_core.store.fingerprint import fingerprint
from pkd_core.store.os_errors import resource_errors
from pkd_core.store.stage_store import StageStore
from tasks.device import device_slot
from tasks.watching import tell, watch

_ON_DEVICE = (StageKind.TEACHER, StageKind.STATES, StageKind.STUDENT, StageKind.EVALUATION)


def run_stage(
    stage: Stage, inputs: Mapping[str, Mapping[str, Any]], context: Context, flow_run: str
) -> dict[str, Any] | State[Any]:
    """Build one stage and return its record as JSON; a user's mistake becomes a failed state of one sentence."""
    records = {part: StageRecord.from_json(record) for part, record in inputs.items()}
    try:
        with resource_errors(stage.key):
            watching = functools.partial(watch, context=context, flow_run=flow_run)
            record = build(stage, records, context, watching, functools.partial(_turn, stage, context))
        # Whoever else has just found the stage done would tell MLflow the same once more.
        with resource_errors(stage.key), StageStore(context.workspace).locked(stage.address):
            tell(stage, records, record, context, flow_run)
    except PkdError as error:
        # Prefect would keep a record of the failure, and take it for the result once the stage's files are there.
        if transaction := get_transaction():
            transaction.write_on_commit = False
        return Failed(message=str(error))
    return record.to_json()


def cache_key(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Address a result by the stage's fingerprint and the bytes of its inputs."""
    stage: Stage = parameters["stage"]
    digests = {part: record["digest"] for part, record in parameters["inputs"].items()}
    return f"{stage.kind}-{stage.fingerprint}-{fingerprint('record', 1, {}, digests)}"


def task_for(stage: Stage, workspace: Path, refresh: bool) -> Task[..., Any]:
    """Return the Prefect task that builds a stage.

    Args:
        stage: The stage; its key is the task run's name.
        workspace: Where the results' records are kept.
        refresh: Run even if Prefect holds a record: the files behind it are not what they should be.
    """
    return Task(
        run_stage,
        name=stage.kind.value,
        task_run_name=stage.key,
        cache_policy=CacheKeyFnPolicy(cache_key_fn=cache_key),
        persist_result=True,
        result_storage=workspace / "artifacts" / "prefect" / "records",
        result_serializer="json",
        refresh_cache=refresh,
    )


def _turn(stage: Stage, context: Context) -> AbstractContextManager[None]:
    """Wait for the device if the stage computes on it."""
    if stage.kind not in _ON_DEVICE:
        return nullcontext()
    return device_slot(context.workspace, context.torch_device, context.share, stage.key)
