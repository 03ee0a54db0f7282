"""One thin Prefect task a kind of stage: cached by its inputs, limited on the device, watched by MLflow."""

import functools
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext
from prefect.states import Failed

from pkd_core.errors import PkdError
from pkd_core.records import StageRecord
from pkd_core.stage import Stage, StageKind
from pkd_core.stages.build import build
from pkd_core.stages.job import Context
from pkd_core.store.fingerprint import fingerprint
from tasks.watching import tell, watch

logger = logging.getLogger(__name__)

DEVICE_LIMIT = "pkd-device"
_one_on_device = threading.Lock()
_ON_DEVICE = (StageKind.TEACHER, StageKind.STATES, StageKind.STUDENT, StageKind.EVALUATION)


def run_stage(
    stage: Stage, inputs: Mapping[str, Mapping[str, Any]], context: Context, flow_run: str
) -> dict[str, Any] | State[Any]:
    """Build one stage and return its record as JSON; a user's mistake becomes a failed state of one sentence."""
    records = {part: StageRecord.from_json(record) for part, record in inputs.items()}
    try:
        with _device_slot(stage):
            record = build(
                stage, records, context, functools.partial(watch, context=context, flow_run=flow_run)
            )
        tell(stage, records, record, context, flow_run)
    except PkdError as error:
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


@contextmanager
def _device_slot(stage: Stage) -> Iterator[None]:
    """Hold the device while computing on it, first within this process and then before all others.

    torch's random state belongs to the process: two trainings at once would also spoil each other's seeds. And Prefect
    lets whoever finds the slot taken sleep for as long as it was lately held, so only one stage of a process asks.
    A training of hours outlives a lost lease: better two holders for a while than the work thrown away.
    """
    if stage.kind not in _ON_DEVICE:
        yield
        return
    limit = concurrency(
        DEVICE_LIMIT, occupy=1, strict=True, lease_duration=60, raise_on_lease_renewal_failure=False
    )
    with _one_on_device, limit:
        yield
