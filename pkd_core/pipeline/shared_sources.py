"""What a run reads from outside its workspace, where several machines share the workspace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pkd_core.data.tokenizer import TOKENIZER_FILES
from pkd_core.errors import StoreError
from pkd_core.model.file_checks import loaded_files
from pkd_core.pipeline.models import Models, PretrainedModel
from pkd_core.pipeline.own_teachers import OwnTeacher, own_files
from pkd_core.pipeline.task_data import send_data
from pkd_core.store.atomic import atomic_folder
from pkd_core.store.attached import place_of
from pkd_core.store.source_files import (
    copy_files,
    drop_source,
    fetch_source,
    keep_link,
    name_source,
    named_source,
    send_source,
    source_folder,
)

Model = PretrainedModel | OwnTeacher


@dataclass(frozen=True)
class SharedSources:
    """The raw data and models of a run, by content, in the place of its workspace.

    Attributes:
        url: The place.
        data: Hash of each task's data.
        models: Hash of each model, by its folder on the machine where the run was planned.
    """

    url: str
    data: Mapping[str, str]
    models: Mapping[Path, str]

    def data_raw(self, workspace: Path, task: str) -> Path:
        """Return the folder of a task's raw files on this machine, which fetches them if they are not there.

        Raises:
            StoreError: They were not sent when the run was planned, or cannot be fetched.
        """
        return self._fetched(workspace, self.data.get(task), f"the data of {task}")

    def model(self, workspace: Path, model: Model) -> Path:
        """Return a model's folder on this machine, which fetches it if it is not there.

        Raises:
            StoreError: It was not sent when the run was planned, or cannot be fetched.
        """
        return self._fetched(workspace, self.models.get(model.folder), model.short_name)

    def model_as_it_is(self, workspace: Path, model: Model) -> Path:
        """Return where a model's folder would be on this machine."""
        digest = self.models.get(model.folder)
        return model.folder if digest is None else source_folder(workspace, digest)

    def drop(self, workspace: Path, task: str, models: Iterable[Model]) -> None:
        """Remove this machine's copies of a task's data and of models, so that they are fetched again."""
        for digest in (self.data.get(task), *(self.models.get(model.folder) for model in models)):
            if digest is not None:
                drop_source(workspace, digest)

    def _fetched(self, workspace: Path, digest: str | None, what: str) -> Path:
        objects = place_of(workspace)
        if digest is None or objects is None:
            raise StoreError(f"{self.url} does not have {what}, which were not needed before; run again.")
        return fetch_source(workspace, objects, digest)


def send_sources(workspace: Path, tasks: Iterable[str], models: Models | None) -> SharedSources | None:
    """Send what a run reads to the place of its workspace, as far as it is not there.

    Args:
        workspace: The workspace.
        tasks: The run's tasks, whose data are in `data_raw`.
        models: The run's models; None if nothing will be computed with them.

    Returns:
        Where it lies; None if the workspace is of this machine alone.

    Raises:
        StoreError: The place fails, or a file changes meanwhile.
    """
    objects = place_of(workspace)
    if objects is None:
        return None
    sent = {}
    for model in _all_of(models):
        sent[model.folder] = send_source(objects, model.folder, _files(model))
        keep_link(workspace, sent[model.folder], model.folder)
    return SharedSources(objects.url, {task: send_data(workspace, task) for task in tasks}, sent)


def send_model(workspace: Path, folder: Path) -> None:
    """Send a model that a command of pkd has made; its folder's name means it from now on, on every machine.

    Raises:
        StoreError: The place of the workspace fails.
    """
    if objects := place_of(workspace):
        name_source(objects, _model_key(folder), send_source(objects, folder, _files_of_bert(folder)))


def bring_model(workspace: Path, folder: Path) -> None:
    """Make a folder hold the model that another machine has sent by its name, if there is one.

    Raises:
        StoreError: The place of the workspace fails.
        OSError: The disk refuses.
    """
    objects = place_of(workspace)
    digest = named_source(objects, _model_key(folder)) if objects else None
    if objects is not None and digest is not None and not folder.is_dir():
        source = fetch_source(workspace, objects, digest)
        with atomic_folder(folder) as partial:
            copy_files(source, _files_of_bert(source), partial)


def _model_key(folder: Path) -> str:
    return f"models/{folder.name}.json"


def _all_of(models: Models | None) -> list[Model]:
    if models is None:
        return []
    # A teacher of one's own may be what students are taken from, too: then its files as a classifier come last.
    other = [] if models.other is None else [models.other]
    return [models.teacher, *other, *models.own_teachers]


def _files(model: Model) -> list[str]:
    if isinstance(model, OwnTeacher):
        return [path.relative_to(model.folder).as_posix() for path in own_files(model.folder)]
    return _files_of_bert(model.folder)


def _files_of_bert(folder: Path) -> list[str]:
    return [*loaded_files(folder), *TOKENIZER_FILES]
