"""Reads a teacher's logits and [CLS] states of training examples, by example id, from the shards on disk.

Shape suffixes: B batch, C classes, D hidden size, M requested layers, N teacher layers, R stored rows.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pkd_core.errors import StoreError
from pkd_core.runtime.transfer import send
from pkd_core.teacher_states.format import Shard, open_shard, shard_path

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TeacherTargets:
    """The teacher's outputs for one batch: logits (B, C) in float32, [CLS] states (B, M, D) as stored."""

    logits_BC: Tensor
    cls_states_BMD: Tensor

    def to(self, device: torch.device) -> "TeacherTargets":
        """Return the targets on `device`."""
        return TeacherTargets(send(self.logits_BC, device), send(self.cls_states_BMD, device))


class TeacherStates:
    """Stored states of all examples, in the order of their ids, whatever order they were written in.

    Ids and logits are in memory. States are read from disk for each batch, so memory does not grow with them.

    Args:
        folder: The shards' folder, for messages.
        shards: At least one, all of one shape.

    Attributes:
        shape: Layers, hidden size, outputs, and the states' type.
        example_ids_R: Every stored example's id, ascending.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self._folder = folder
        self._files = [FileIO(shard.path) for shard in shards]
        self.shape = shards[0].shape
        example_ids_R = np.concatenate([shard.example_ids_R for shard in shards])
        order_R = np.argsort(example_ids_R, kind="stable")
        self.example_ids_R = example_ids_R[order_R]
        self._logits_RC = np.concatenate([shard.logits_RC for shard in shards])[order_R]
        self._offsets_R = np.concatenate([shard.offsets_R for shard in shards])[order_R]
        self._shards_R = np.repeat(np.arange(len(shards)), [len(shard) for shard in shards])[order_R]

    def __len__(self) -> int:
        return len(self.example_ids_R)

    @classmethod
    def open(cls, folder: Path, *further: Path) -> "TeacherStates":
        """Open the shards of one folder, or of several that hold different examples.

        Raises:
            StoreError: If a shard is missing or truncated, shapes differ, or an example is stored twice.
        """
        shards = [open_shard(path) for one in (folder, *further) for path in _shard_paths(one)]
        num_shapes = len({shard.shape for shard in shards})
        if num_shapes > 1:
            raise StoreError(
                f"{folder}: expected shards of one shape, got {num_shapes}; extract the states again"
            )
        states = cls(folder, shards)
        ids_R = states.example_ids_R
        if (ids_R[1:] == ids_R[:-1]).any():
            raise StoreError(
                f"{folder}: expected every example once, got some twice; extract the states again"
            )
        return states

    def gather(self, example_ids_B: Tensor, layers: Sequence[int]) -> TeacherTargets:
        """Read the teacher's outputs for these examples.

        Args:
            example_ids_B: Ids in any order, int64, shape (B,).
            layers: The M teacher layers to read, from 1; with none, no states are read.

        Returns:
            The targets in the ids' order.

        Raises:
            StoreError: If an example is not stored.
        """
        assert all(1 <= layer <= self.shape.num_layers for layer in layers), layers
        rows_B = self.find_rows(example_ids_B.numpy())
        columns_M = np.array(layers, dtype=np.int64) - 1
        cls_states_BMD = np.empty((len(rows_B), len(columns_M), self.shape.hidden_size), self.shape.dtype)
        if len(columns_M):
            self._read_states(rows_B, columns_M, cls_states_BMD)
        return TeacherTargets(torch.from_numpy(self._logits_RC[rows_B]), torch.from_numpy(cls_states_BMD))

    def find_rows(self, example_ids_B: Array) -> Array:
        """Return the position of each example in `example_ids_R`.

        Raises:
            StoreError: If an example is not stored.
        """
        rows_B = np.searchsorted(self.example_ids_R, example_ids_B)
        is_stored_B = self.example_ids_R[np.minimum(rows_B, len(self) - 1)] == example_ids_B
        if not is_stored_B.all():
            raise StoreError(
                f"{self._folder}: expected states of example {example_ids_B[~is_stored_B][0]}, found none; "
                "extract them again from the same tokens"
            )
        return rows_B

    def num_bytes(self, num_layers: int) -> int:
        """Return how many bytes the states of so many layers, and the logits, take in memory."""
        width = num_layers * self.shape.hidden_size * np.dtype(self.shape.dtype).itemsize
        return len(self) * width + self._logits_RC.nbytes

    def _read_states(self, rows_B: Array, columns_M: Array, cls_states_BMD: Array) -> None:
        row_ND = np.empty((self.shape.num_layers, self.shape.hidden_size), self.shape.dtype)
        files = [self._files[number] for number in self._shards_R[rows_B].tolist()]
        reads = list(zip(files, self._offsets_R[rows_B].tolist(), strict=True))
        if hasattr(os, "posix_fadvise"):
            # The disk can then read all rows at once, instead of one after the other.
            for file, offset in reads:
                os.posix_fadvise(file.fileno(), offset, row_ND.nbytes, os.POSIX_FADV_WILLNEED)
        for position, (file, offset) in enumerate(reads):
            # Unlike access to a memory map, a read does not block other Python threads while it waits for the disk.
            num_read = os.preadv(file.fileno(), [row_ND.data.cast("B")], offset)
            if num_read != row_ND.nbytes:
                raise StoreError(
                    f"{file.name}: expected {row_ND.nbytes} bytes at {offset}, got {num_read}; "
                    "extract the states again"
                )
            cls_states_BMD[position] = row_ND[columns_M]


def _shard_paths(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("states-*.arrow"))
    if not paths or paths[-1] != shard_path(folder, len(paths) - 1):
        raise StoreError(
            f"{folder}: expected state shards numbered from 0, got {len(paths)}; extract the states again"
        )
    return paths
