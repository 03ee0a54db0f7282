"""What the function of a stage is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pkd_core.config.run_options import RunOptions
from pkd_core.data.task import Task
from pkd_core.pipeline.facts import Facts
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.own_teachers import OwnTeacher
from pkd_core.pipeline.shared_sources import Model, SharedSources
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.device import find_device
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.runtime.observer import Observer
from pkd_core.store.attached import attach
from pkd_core.store.finished_files import FinishedRecord
from pkd_core.store.manifest import Manifest

if TYPE_CHECKING:
    import torch

F = TypeVar("F", bound=Facts)


@dataclass(frozen=True)
class RunContext:
    """Where and how a run works, once it is planned; nothing here changes a result's address.

    Attributes:
        workspace: Folder that holds data_raw, data_feat and artifacts.
        model: The pretrained model: the teacher's, and the students' if they have no other.
        tasks: The run's tasks by name, as they were when it was planned.
        options: How the run works.
        command: Repeats the run; empty if it is not known.
        own_teachers: The run's own teachers; `model` is then what students are taken from.
        sources: Where the raw data and the models are, if several machines share the workspace.
    """

    workspace: Path
    model: PretrainedModel
    tasks: Mapping[str, Task]
    options: RunOptions
    command: str = ""
    own_teachers: tuple[OwnTeacher, ...] = ()
    sources: SharedSources | None = None

    def here(self) -> "RunContext":
        """Return the context of the same run on this machine, which may be another than that where it was planned.

        Raises:
            StoreError: The workspace is shared, and its place cannot be used from here.
        """
        return self if self.sources is None else replace(self, workspace=attach(self.sources.url))

    def data_raw(self, task: str) -> Path:
        """Return the folder of a task's raw files; a shared workspace fetches them.

        Raises:
            StoreError: They cannot be fetched.
        """
        if self.sources is None:
            return self.workspace / "data_raw"
        return self.sources.data_raw(self.workspace, task)

    def folder_of(self, model: Model) -> Path:
        """Return the folder of a model's files; a shared workspace fetches them.

        Raises:
            StoreError: They cannot be fetched.
        """
        return model.folder if self.sources is None else self.sources.model(self.workspace, model)

    def model_of(self, stage: Stage) -> PretrainedModel:
        """Return the pretrained model that a stage's tokenizer and weights are of."""
        return stage.student_model or self.model

    @property
    def device(self) -> "torch.device":
        """The device to compute on."""
        return find_device(self.options.device)


@dataclass(frozen=True)
class Job:
    """One stage about to be computed.

    Attributes:
        stage: What is to be computed.
        work: Private folder to write into.
        resume: Private folder for what only an interrupted stage needs to continue.
        inputs: Published folder of each input, by its part ("tokens", "teacher", "states", "model", "speed").
        manifests: Manifest of each input, by the same parts.
        context: Where and how the run works.
        observer: Receives metrics and progress.
        check_inputs: Raises StoreError if an input has changed: called before anything is kept that was computed.
        finished: The files of the work folder that are finished, for a stage that goes on file by file.
        keep: Called after a checkpoint or a finished file was written: sends it to where other machines find it.
        group: The processes that compute the stage; rank 0 alone writes, unless files are divided among them.
    """

    stage: Stage
    work: Path
    resume: Path
    inputs: Mapping[str, Path]
    manifests: Mapping[str, Manifest]
    context: RunContext
    observer: Observer
    check_inputs: Callable[[], None]
    finished: FinishedRecord
    keep: Callable[[], None] = lambda: None
    group: Group = ONE_PROCESS

    @property
    def task(self) -> Task:
        """The task of the stage."""
        return self.context.tasks[self.stage.task]

    @property
    def data_raw(self) -> Path:
        """Folder of the raw files of the stage's task."""
        return self.context.data_raw(self.stage.task)

    @property
    def model_folder(self) -> Path:
        """Folder of the pretrained model that the stage's tokenizer and weights are of."""
        return self.context.folder_of(self.context.model_of(self.stage))

    def input_facts(self, part: str, kind: type[F]) -> F:
        """Return what an input's manifest records of its output."""
        return kind.model_validate(self.manifests[part].facts)
