"""What a stage's function is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pkd_core.data.glue import load_task
from pkd_core.data.task import Task
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.device import find_device
from pkd_core.runtime.observer import Observer


@dataclass(frozen=True)
class Context:
    """Where a run works, apart from what it asks for; nothing here changes a result's address.

    Attributes:
        workspace: Folder that holds data_raw, data_feat and artifacts.
        model_folder: Folder of the pretrained model.
        device: "auto", or a torch device such as "cpu" or "cuda:0".
        deep: Whether published files are hashed before they are taken as whole.
        strict: Whether a teacher that has learnt nothing is an error instead of a warning.
        checkpoint_seconds: How often a training leaves a checkpoint, besides at each epoch's end.
        share: How many runs of the workspace may compute on one device at once.
    """

    workspace: Path
    model_folder: Path
    device: str = "auto"
    deep: bool = False
    strict: bool = False
    checkpoint_seconds: float = 300.0
    share: int = 1

    @property
    def data_raw(self) -> Path:
        """Folder of the raw TSV files."""
        return self.workspace / "data_raw"

    @property
    def torch_device(self) -> torch.device:
        """The device to compute on."""
        return find_device(self.device)


@dataclass(frozen=True)
class Job:
    """One stage about to be computed.

    Attributes:
        stage: What is asked for.
        work: Private folder to write into.
        inputs: Published folder of each input, by its part ("tokens", "teacher", "states", "model").
        context: Where the run works.
        observer: Who listens.
    """

    stage: Stage
    work: Path
    inputs: Mapping[str, Path]
    context: Context
    observer: Observer

    @property
    def task(self) -> Task:
        """The GLUE task of the stage."""
        return load_task(self.stage.task, self.context.data_raw)
