"""What a stage reads, verified: what it publishes was made from the bytes that its manifest names.

A plan hashes files long before a stage reads them, and published files may be damaged later. So a stage hashes all its
inputs itself before it reads them, and notices a file that changes until it has ended.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import DamagedError, StoreError
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.own_teachers import own_teacher_parts
from pkd_core.pipeline.shared_sources import Model
from pkd_core.pipeline.sources import PRETRAINED, TEACHER_PRETRAINED, TOKENIZER, hash_sources, source_files
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import Address, StageRecord
from pkd_core.store.attached import place_of
from pkd_core.store.local_cache import check_bound, make_room, num_bytes_of
from pkd_core.store.manifest import Manifest
from pkd_core.store.stage_store import StageStore
from pkd_core.store.verification import WatchedFiles, published_files, verify_files


@dataclass(frozen=True)
class PublishedInput:
    """A published stage that another one reads.

    Attributes:
        address: The stage.
        folder: Its folder; see `fetch_inputs`.
        manifest: Its manifest as it was read; the files may be damaged.
    """

    address: Address
    folder: Path
    manifest: Manifest


def read_inputs(
    stage: Stage, records: Mapping[str, StageRecord], store: StageStore
) -> dict[str, PublishedInput]:
    """Read the manifest of each input, by its part in the stage.

    Raises:
        StoreError: An input is gone, or its manifest cannot be read.
    """
    inputs: dict[str, PublishedInput] = {}
    for part, record in records.items():
        manifest = store.find_manifest(record.address)
        if manifest is None:
            raise StoreError(
                f"{stage.key} needs {record.path}, which is gone since it was planned; run again to rebuild it."
            )
        inputs[part] = PublishedInput(record.address, store.workspace / record.path, manifest)
    return inputs


def fetch_inputs(stage: Stage, inputs: Mapping[str, PublishedInput], store: StageStore, bound: float) -> None:
    """Download the inputs of a stage from the place that several machines share, as far as they are not here.

    Args:
        stage: The stage.
        inputs: From `read_inputs`.
        store: The store.
        bound: How many bytes of such copies this machine keeps; older ones make room.

    Raises:
        ConfigError: The inputs alone are more.
        StoreError: An input is gone, or damaged there; a damaged one is withdrawn.
    """
    sizes = {one.folder: num_bytes_of(one.manifest) for one in inputs.values()}
    if place_of(store.workspace) is not None:
        check_bound(stage.key, sum(sizes.values()), bound)
        missing = sum(size for folder, size in sizes.items() if not folder.is_dir())
        make_room(store.workspace, missing, bound)
    for one in inputs.values():
        with _set_aside_if_damaged(stage.key, one, store):
            store.fetch(one.address)


@contextmanager
def _set_aside_if_damaged(key: str, one: PublishedInput, store: StageStore) -> Iterator[None]:
    """Set an input aside if the body finds it damaged, and say so in one sentence."""
    try:
        yield
    except DamagedError as error:
        aside = store.set_aside(one.address)
        place = f"it was moved to {aside}" if aside else "another run is building it again"
        raise StoreError(
            f"{key} needs {one.address.folder} as it was published, but {error}; {place}: run again."
        ) from error


class VerifiedInputs:
    """The inputs of a stage, of which every byte was hashed and found to be what the plan and the manifests name.

    Args:
        stage: The stage that reads them.
        inputs: From `read_inputs`. A damaged one is moved to the backups, so that the next run builds it again.
        context: Gives the raw files and the pretrained model.

    Raises:
        StoreError: A published input is damaged, or a raw file or the model has changed since the run was planned.
    """

    def __init__(self, stage: Stage, inputs: Mapping[str, PublishedInput], context: RunContext) -> None:
        self._key = stage.key
        paths = [path for one in inputs.values() for path in published_files(one.folder, one.manifest)]
        if stage.sources:
            task, data_raw = context.tasks[stage.task], context.data_raw(stage.task)
            paths += source_files(stage.sources, task, data_raw, _model_folders(stage, context))
        self._watched = WatchedFiles(paths)
        if stage.sources:
            self._verify_sources(stage, context)
        for one in inputs.values():
            with _set_aside_if_damaged(stage.key, one, StageStore(context.workspace)):
                verify_files(one.folder, one.manifest)

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was hashed: call it before anything that was computed is kept.

        Raises:
            StoreError: A file has changed.
        """
        if path := self._watched.find_changed():
            raise StoreError(
                f"{self._key} needs {path} to stay as it is while it is read, and it has changed; run again."
            )

    def _verify_sources(self, stage: Stage, context: RunContext) -> None:
        task, data_raw = context.tasks[stage.task], context.data_raw(stage.task)
        hashes = hash_sources(stage.sources, task, data_raw, _model_folders(stage, context))
        for part in sorted(hashes.keys() | stage.sources.keys()):
            if hashes.get(part) != stage.sources.get(part):
                if context.sources is not None:
                    context.sources.drop(context.workspace, stage.task, _models(stage, context).values())
                raise StoreError(
                    f"{self._key} needs {part} as it was when the run was planned, and it has changed since; "
                    "run again to use what is there now."
                )


def _model_folders(stage: Stage, context: RunContext) -> dict[str, Path]:
    return {part: context.folder_of(model) for part, model in _models(stage, context).items()}


def _models(stage: Stage, context: RunContext) -> dict[str, Model]:
    """Return each model that a stage reads, by its part among the stage's sources."""
    own = context.model_of(stage)
    teachers = own_teacher_parts(context.own_teachers)
    models: dict[str, Model] = {
        TOKENIZER: own,
        PRETRAINED: own,
        TEACHER_PRETRAINED: context.model,
        **teachers,
    }
    return {part: model for part, model in models.items() if part in stage.sources}
