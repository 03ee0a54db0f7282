"""Builds a stage once: looks it up, else computes it under its lock and publishes it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from pkd_core.errors import HeldError, StoreError
from pkd_core.pipeline.job import Context, Job
from pkd_core.pipeline.stage import CODE_VERSIONS, Stage, StageKind
from pkd_core.pipeline.stages.evaluation import evaluate
from pkd_core.pipeline.stages.report import report
from pkd_core.pipeline.stages.student import train_student
from pkd_core.pipeline.stages.teacher import train_teacher
from pkd_core.pipeline.stages.teacher_states import extract_states
from pkd_core.pipeline.stages.tokens import tokenize
from pkd_core.runtime.cancellation import InterruptibleObserver, check_stop_requested, computing
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.stage_store import StageStatus, StageStore
from pkd_core.training.checkpoints import checkpoint_folder

# A stage, its inputs' records, and whether it goes on from a checkpoint.
Watch = Callable[[Stage, Mapping[str, StageRecord], bool], AbstractContextManager[Observer]]

_FUNCTIONS: Mapping[StageKind, Callable[[Job], dict[str, Any]]] = {
    StageKind.TOKENS: tokenize,
    StageKind.TEACHER: train_teacher,
    StageKind.STATES: extract_states,
    StageKind.STUDENT: train_student,
    StageKind.EVALUATION: evaluate,
    StageKind.REPORT: report,
}


def build(
    stage: Stage,
    inputs: Mapping[str, StageRecord],
    context: Context,
    watch: Watch,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> StageRecord:
    """Return a stage's record, computing the stage first unless it is published, whole, and made of these inputs.

    Args:
        stage: What is asked for.
        inputs: Record of each input, by its part in the stage.
        context: Where the run works.
        watch: Opens an observer for a stage with its inputs' records; entered only if the stage is really computed.
        turn: Entered before computing, such as to wait for the device. Nobody has his turn while he waits for another
            process that makes the stage.

    Raises:
        PkdError: An input's files are not there, the stage itself cannot be made, or someone asked to stop.
    """
    store = StageStore(context.workspace)
    folders = {part: context.workspace / record.path for part, record in inputs.items()}
    for record in inputs.values():
        if not (context.workspace / record.path).is_dir():
            raise StoreError(
                f"{stage.key} needs {record.path}, which is gone since it was planned; run again to rebuild it."
            )
    # A record may be older than what it names: the folder was made again since, by another door than Prefect's.
    digests = {part: read_manifest(folder).digest for part, folder in folders.items()} | dict(stage.sources)
    while True:
        if published := _published(store, stage, digests, context.deep):
            return published
        check_stop_requested(stage.key)
        with suppress(HeldError), turn(), store.writing(stage.address, digests, wait=False) as work:
            # Whoever had the turn or the lock before may have published just this.
            if published := _published(store, stage, digests, context.deep):
                return published
            check_stop_requested(stage.key)
            with computing(), watch(stage, inputs, checkpoint_folder(work).is_dir()) as watching:
                observer = InterruptibleObserver(stage.key, watching)
                facts = _FUNCTIONS[stage.kind](Job(stage, work, folders, context, observer))
                return store.publish(
                    stage.address,
                    code_version=CODE_VERSIONS[stage.kind],
                    config=stage.config,
                    inputs=digests,
                    facts=facts,
                )
        with store.locked(stage.address):
            pass


def _published(store: StageStore, stage: Stage, digests: Mapping[str, str], deep: bool) -> StageRecord | None:
    inspection = store.inspect(stage.address, inputs=digests, deep=deep)
    if inspection.status is not StageStatus.DONE or inspection.manifest is None:
        return None
    return store.record(stage.address, inspection.manifest)
