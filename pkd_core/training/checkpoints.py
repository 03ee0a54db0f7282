"""Training checkpoints: all that a training needs to go on as if it had never stopped."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pkd_core.store.atomic import durable_rename, fsync_tree, partial_path
from pkd_core.store.os_errors import disk_errors

logger = logging.getLogger(__name__)

_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of a step: tensors by name, and a state of JSON values."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


class Checkpoints:
    """The newest checkpoint of one training, in a folder of its own inside the stage's work folder.

    Args:
        work: The stage's work folder.
        seconds_between: How often one falls due.
        companions: Files of the work folder that belong to a checkpoint, such as the best epoch's weights: they are
            kept with it, and put back with it.
    """

    def __init__(self, work: Path, seconds_between: float, companions: tuple[str, ...] = ()) -> None:
        self._work = work
        self._folder = checkpoint_folder(work)
        self._seconds_between = seconds_between
        self._companions = companions
        self._last = time.monotonic()

    @property
    def folder(self) -> Path:
        """Where the newest checkpoint lies, if there is one."""
        return self._folder

    @property
    def is_due(self) -> bool:
        """Whether the last one was made long enough ago."""
        return time.monotonic() - self._last >= self._seconds_between

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint beside the one that is there, then let it take its place.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        beside = partial_path(self._folder)
        with disk_errors("write a training checkpoint to", self._work):
            _remove(beside)
            beside.mkdir(parents=True)
            tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
            save_file(tensors, beside / _TENSORS)
            for name in self._companions:
                if (self._work / name).is_file():
                    _link(self._work / name, beside / name)
            described = {"format": _FORMAT, "sha256": _digest(beside / _TENSORS), "state": checkpoint.state}
            (beside / _STATE).write_text(json.dumps(described), encoding="utf-8")
            fsync_tree(beside)
            self._replace(beside)
        self._last = time.monotonic()

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint, its companions put back in their places; None if there is no whole one."""
        for folder in (self._folder, self._before):
            checkpoint = _read(folder)
            if checkpoint is not None:
                for name in self._companions:
                    self._put_back(folder / name, self._work / name)
                return checkpoint
        return None

    def discard(self) -> None:
        """Remove everything: the training has ended."""
        for folder in (self._folder, self._before, partial_path(self._folder)):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _before(self) -> Path:
        return self._folder.with_name(f"{self._folder.name}.before")

    def _replace(self, beside: Path) -> None:
        """Put the new folder in the place of the old, which stays readable at every moment between."""
        _remove(self._before)
        if self._folder.exists():
            durable_rename(self._folder, self._before)
        durable_rename(beside, self._folder)
        shutil.rmtree(self._before, ignore_errors=True)

    @staticmethod
    def _put_back(kept: Path, place: Path) -> None:
        place.unlink(missing_ok=True)
        if kept.is_file():
            _link(kept, place)


def checkpoint_folder(work: Path) -> Path:
    """Return where a stage's checkpoint lies, if there is one."""
    return work / "checkpoint"


def _read(folder: Path) -> Checkpoint | None:
    if not folder.is_dir():
        return None
    try:
        described = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if described["format"] != _FORMAT or described["sha256"] != _digest(folder / _TENSORS):
            raise ValueError("its tensors are not those that it was made with")
        return Checkpoint(load_file(folder / _TENSORS), described["state"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        logger.warning("%s: this training checkpoint cannot be used (%s); going on without it", folder, error)
        return None


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the file system knows no second names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
