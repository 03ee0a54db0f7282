"""Builds a stage once: looks it up, else computes it under its lock and publishes it."""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from pkd_core.errors import HeldError, LostError
from pkd_core.pipeline.compute import compute
from pkd_core.pipeline.estimate import recorded_duration
from pkd_core.pipeline.inputs import PublishedInput, VerifiedInputs, fetch_inputs, read_inputs
from pkd_core.pipeline.job import Job, RunContext
from pkd_core.pipeline.kinds import CODE_VERSIONS
from pkd_core.pipeline.several_processes import compute_in_processes, num_processes
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import CancellableObserver, check_stop_requested
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.finished_files import FinishedFiles
from pkd_core.store.local_cache import in_use
from pkd_core.store.stage_store import StageStatus, StageStore
from pkd_core.store.work_folder import resume_folder
from pkd_core.training.checkpoints import has_checkpoint

# Opens an observer for a stage, given its inputs' records and whether it resumes from a checkpoint.
TrackStage = Callable[[Stage, Mapping[str, StageRecord], bool], AbstractContextManager[Observer]]


def build(
    stage: Stage,
    inputs: Mapping[str, StageRecord],
    context: RunContext,
    track: TrackStage,
    device_slot: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> StageRecord:
    """Return a stage's record, computing the stage first unless it is published, complete, and built from these inputs.

    Args:
        stage: What is needed.
        inputs: Record of each input, by its part in the stage.
        context: Where and how the run works.
        track: Opens an observer; entered only if the stage is really computed.
        device_slot: Entered before computing. It is released while waiting for another process to build the stage.

    Raises:
        PkdError: An input's files are missing, the stage cannot be built, or a stop was requested.
    """
    store = StageStore(context.workspace)
    # A record may be older than the folder that it names, which another run may have built again since.
    published_inputs = read_inputs(stage, inputs, store)
    read = [one.address for one in published_inputs.values()]
    with in_use(context.workspace, [stage.address, *read]):
        return _build(store, stage, inputs, published_inputs, context, track, device_slot)


def _build(
    store: StageStore,
    stage: Stage,
    inputs: Mapping[str, StageRecord],
    published_inputs: Mapping[str, PublishedInput],
    context: RunContext,
    track: TrackStage,
    device_slot: Callable[[], AbstractContextManager[None]],
) -> StageRecord:
    """Do what `build` does, while the local copies of the inputs stay."""
    digests, deep = _digests(stage, published_inputs), context.options.deep
    while True:
        if published := _published(store, stage, digests, deep):
            return published
        check_stop_requested(stage.key)
        fetch_inputs(stage, published_inputs, store, context.options.cache_gb * 1e9)
        # The result of whoever holds the stage, or has taken it over from this process, is taken.
        with (
            suppress(HeldError, LostError),
            device_slot(),
            store.writing(stage.address, digests, wait=False) as work,
        ):
            # Another process may have published the stage while this one waited for the slot or the lock.
            if published := _published(store, stage, digests, deep):
                return published
            check_stop_requested(stage.key)
            return _build_in(store, work, stage, inputs, published_inputs, context, track)
        with store.locked(stage.address):
            pass


def _build_in(
    store: StageStore,
    work: Path,
    stage: Stage,
    inputs: Mapping[str, StageRecord],
    published_inputs: Mapping[str, PublishedInput],
    context: RunContext,
    track: TrackStage,
) -> StageRecord:
    """Compute a stage in its work folder, whose lock is held, and publish it."""
    verified = VerifiedInputs(stage, published_inputs, context)
    resumes = has_checkpoint(resume_folder(work))
    processes = num_processes(stage, context.options)
    # What an interruption has left makes a stage quicker than it will be, and so do several processes.
    is_typical = processes == 1 and not resumes and not any(work.iterdir())
    manifests = {part: one.manifest for part, one in published_inputs.items()}
    timed = recorded_duration(stage, context, manifests.get("transfer")) if is_typical else nullcontext()
    with timed, track(stage, inputs, resumes) as observer:
        keep = functools.partial(store.keep, stage.address)
        job = Job(
            stage=stage,
            work=work,
            resume=resume_folder(work),
            inputs={part: one.folder for part, one in published_inputs.items()},
            manifests=manifests,
            context=context,
            observer=CancellableObserver(
                stage.key, observer, functools.partial(store.check_held, stage.address)
            ),
            check_inputs=verified.check_unchanged,
            finished=FinishedFiles(work, resume_folder(work), verified.check_unchanged, keep),
            keep=keep,
        )
        facts = compute(job) if processes == 1 else compute_in_processes(job, processes)
        verified.check_unchanged()
        return store.publish(
            stage.address,
            code_version=CODE_VERSIONS[stage.kind],
            config=stage.config,
            inputs=_digests(stage, published_inputs),
            facts=facts.model_dump(mode="json"),
        )


def _digests(stage: Stage, inputs: Mapping[str, PublishedInput]) -> dict[str, str]:
    return {part: one.manifest.digest for part, one in inputs.items()} | dict(stage.sources)


def _published(store: StageStore, stage: Stage, digests: Mapping[str, str], deep: bool) -> StageRecord | None:
    inspection = store.inspect(stage.address, inputs=digests, deep=deep)
    if inspection.status is not StageStatus.DONE or inspection.manifest is None:
        return None
    return store.record(stage.address, inspection.manifest)
