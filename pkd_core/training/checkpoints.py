"""Training checkpoints: everything that a training needs to resume as if it had never stopped."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pkd_core.store.atomic import durable_rename, fsync_tree, partial_path
from pkd_core.store.os_errors import disk_errors
from pkd_core.training.checkpoint_state import UNREADABLE, checkpoint_folders, read_state, write_state

logger = logging.getLogger(__name__)

_TENSORS = "tensors.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of a step: tensors by name, and its state as JSON values."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


class Checkpoints:
    """The newest checkpoint of a training, in a subfolder of the stage's resume folder.

    Args:
        resume: The stage's resume folder.
        work: The stage's work folder.
        seconds_between: Seconds from one checkpoint until the next is due.
        companions: Files of the work folder that belong to a checkpoint, such as the best epoch's weights; they are
            saved and restored with it.
        check_inputs: Called before a checkpoint is written; raises if what it was computed from has changed.
        keep: Called after a checkpoint was written.
        is_writer: Whether to write at all; of several processes that train together, one does, and all load.
    """

    def __init__(
        self,
        resume: Path,
        work: Path,
        seconds_between: float,
        companions: Sequence[str] = (),
        check_inputs: Callable[[], None] = lambda: None,
        keep: Callable[[], None] = lambda: None,
        is_writer: bool = True,
    ) -> None:
        self._resume = resume
        self._work = work
        self._folder, self._previous = checkpoint_folders(resume)
        self._partial = partial_path(self._folder)
        self._seconds_between = seconds_between
        self._companions = companions
        self._check_inputs = check_inputs
        self._keep = keep
        self._is_writer = is_writer
        self._last = time.monotonic()

    @property
    def folder(self) -> Path:
        """Folder of the newest checkpoint, if there is one."""
        return self._folder

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint, or the start, is `seconds_between` ago."""
        return self._is_writer and time.monotonic() - self._last >= self._seconds_between

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint to a temporary folder, then replace the previous checkpoint with it.

        Raises:
            StoreError: If the disk is full or cannot be written, or an input has changed.
        """
        if not self._is_writer:
            return
        self._check_inputs()
        with disk_errors("write a training checkpoint to", self._resume):
            _remove(self._partial)
            self._partial.mkdir(parents=True)
            tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
            save_file(tensors, self._partial / _TENSORS)
            for name in self._companions:
                if (self._work / name).is_file():
                    _link(self._work / name, self._partial / name)
            write_state(self._partial, checkpoint.state)
            fsync_tree(self._partial)
            self._publish()
        self._keep()
        self._last = time.monotonic()

    def load(self) -> Checkpoint | None:
        """Return the newest undamaged checkpoint and restore its companions; None if there is none."""
        for folder in (self._folder, self._previous):
            checkpoint = _read(folder)
            if checkpoint is not None:
                for name in self._companions if self._is_writer else ():
                    _restore(folder / name, self._work / name)
                return checkpoint
        return None

    def _publish(self) -> None:
        """Replace the checkpoint with the new one; at every moment one of the two can be loaded."""
        _remove(self._previous)
        if self._folder.exists():
            durable_rename(self._folder, self._previous)
        durable_rename(self._partial, self._folder)
        shutil.rmtree(self._previous, ignore_errors=True)


def has_checkpoint(resume: Path) -> bool:
    """Return whether a resume folder holds a checkpoint, damaged or not."""
    return any(folder.is_dir() for folder in checkpoint_folders(resume))


def pack_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return a model's weights and its optimizer's state as one flat dictionary of tensors."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
    return tensors


def unpack_tensors(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Restore what `pack_tensors` returned for a model and an optimizer of the same structure."""
    weights: dict[str, Tensor] = {}
    states: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        kind, rest = path.split(".", 1)
        if kind == "model":
            weights[rest] = value
        else:
            number, name = rest.split(".", 1)
            states.setdefault(int(number), {})[name] = value
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _read(folder: Path) -> Checkpoint | None:
    if not folder.is_dir():
        return None
    try:
        state = read_state(folder)
        return Checkpoint(load_file(folder / _TENSORS), state)
    except (*UNREADABLE, SafetensorError) as error:
        logger.warning(
            "%s: this training checkpoint cannot be used (%s); continuing without it", folder, error
        )
        return None


def _restore(saved: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if saved.is_file():
        _link(saved, target)


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
