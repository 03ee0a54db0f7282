"""A teacher's logits and [CLS] states of every training example, read where they lie on disk."""

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
from pkd_core.teacher_states.format import Block, StatesShape, open_shard, shard_path

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TeacherTargets:
    """The teacher's say on one batch: logits (B, C) in float32, [CLS] states (B, M, D) as stored."""

    logits_BC: Tensor
    cls_states_BMD: Tensor

    def to(self, device: torch.device) -> "TeacherTargets":
        """Return the part on `device`."""
        return TeacherTargets(send(self.logits_BC, device), send(self.cls_states_BMD, device))


class TeacherStates:
    """Stored states of all examples, joined by example id, whatever order they were written in.

    Ids and logits are in memory. States are read row by row when they are asked for: memory does not grow with them.

    Attributes:
        shape: Layers, hidden size, outputs, and the states' type.
        example_ids_R: Every stored example's id, rising.
    """

    def __init__(
        self, folder: Path, shape: StatesShape, shards: Sequence[tuple[FileIO, list[Block]]]
    ) -> None:
        self.shape = shape
        self._folder = folder
        self._blocks = [(file, block) for file, blocks in shards for block in blocks]
        self._block_starts = np.cumsum([0, *(block.num_rows for _, block in self._blocks[:-1])])
        ids = [
            self._read(file, block.example_ids, (block.num_rows,), "int64") for file, block in self._blocks
        ]
        logits = [
            self._read(file, block.logits, (block.num_rows, shape.num_outputs), "float32")
            for file, block in self._blocks
        ]
        self._logits_RC = np.concatenate(logits)
        example_ids_R = np.concatenate(ids)
        self._order_R = np.argsort(example_ids_R, kind="stable")
        self.example_ids_R = example_ids_R[self._order_R]

    def __len__(self) -> int:
        return len(self.example_ids_R)

    @classmethod
    def open(cls, folder: Path) -> "TeacherStates":
        """Open a folder's shards, without reading the states.

        Raises:
            StoreError: If a shard is missing or truncated, shapes differ, or an example is there twice.
        """
        paths = sorted(folder.glob("states-*.arrow"))
        if not paths or paths[-1] != shard_path(folder, len(paths) - 1):
            raise StoreError(
                f"{folder}: expected state shards numbered from 0, got {len(paths)}; extract the states again"
            )
        shards = [open_shard(path) for path in paths]
        shapes = {shape for shape, _ in shards}
        if len(shapes) > 1:
            raise StoreError(f"{folder}: expected shards of one shape, got {len(shapes)}; extract them again")
        files = [FileIO(path) for path in paths]
        blocks = [blocks for _, blocks in shards]
        states = cls(folder, shapes.pop(), list(zip(files, blocks, strict=True)))
        ids_R = states.example_ids_R
        if (ids_R[1:] == ids_R[:-1]).any():
            raise StoreError(
                f"{folder}: expected every example once, got some twice; extract the states again"
            )
        return states

    def gather(self, example_ids_B: Tensor, layers: Sequence[int]) -> TeacherTargets:
        """Copy what the teacher says of these examples.

        Args:
            example_ids_B: Ids in any order, int64, shape (B,).
            layers: Teacher layers to copy, from 1; with none, no state is read.

        Returns:
            The teacher's part in the ids' order, M being the number of layers.

        Raises:
            StoreError: If an example is not stored.
        """
        assert all(1 <= layer <= self.shape.num_layers for layer in layers), layers
        rows_B = self._order_R[self.places(example_ids_B.numpy())]
        columns_M = np.array(layers, dtype=np.int64) - 1
        cls_states_BMD = np.empty((len(rows_B), len(columns_M), self.shape.hidden_size), self.shape.dtype)
        if len(columns_M):
            row_ND = np.empty((self.shape.num_layers, self.shape.hidden_size), self.shape.dtype)
            places = self._places(rows_B, row_ND.nbytes)
            if hasattr(os, "posix_fadvise"):  # where a system has it not, the disk is waited for row by row
                for file, offset in places:
                    os.posix_fadvise(file.fileno(), offset, row_ND.nbytes, os.POSIX_FADV_WILLNEED)
            for position, (file, offset) in enumerate(places):
                self._read_into(file, offset, row_ND)
                cls_states_BMD[position] = row_ND[columns_M]
        return TeacherTargets(torch.from_numpy(self._logits_RC[rows_B]), torch.from_numpy(cls_states_BMD))

    def _places(self, rows_B: Array, row_bytes: int) -> list[tuple[FileIO, int]]:
        """Return the file of each row's states, and the byte that they begin at."""
        number_B = np.searchsorted(self._block_starts, rows_B, side="right") - 1
        within_B = rows_B - self._block_starts[number_B]
        blocks = [self._blocks[number] for number in number_B.tolist()]
        return [
            (file, block.cls_states + row * row_bytes)
            for (file, block), row in zip(blocks, within_B.tolist(), strict=True)
        ]

    def _read(self, file: FileIO, offset: int, shape: tuple[int, ...], dtype: str) -> Array:
        values = np.empty(shape, dtype)
        self._read_into(file, offset, values)
        return values

    def _read_into(self, file: FileIO, offset: int, values: Array) -> None:
        # Waits for the disk without holding up Python's other threads, as a memory map would.
        num_read = os.preadv(file.fileno(), [values.data.cast("B")], offset)
        if num_read != values.nbytes:
            raise StoreError(
                f"{file.name}: expected {values.nbytes} bytes at {offset}, got {num_read}; extract the states again"
            )

    def places(self, example_ids_B: Array) -> Array:
        """Return the position of each example in `example_ids_R`.

        Raises:
            StoreError: If an example is not stored.
        """
        places_B = np.searchsorted(self.example_ids_R, example_ids_B)
        known_B = self.example_ids_R[np.minimum(places_B, len(self) - 1)] == example_ids_B
        if not known_B.all():
            raise StoreError(
                f"{self._folder}: expected states of example {example_ids_B[~known_B][0]}, found none; "
                "extract them again from the same tokens"
            )
        return places_B

    def num_bytes(self, num_layers: int) -> int:
        """Return how many bytes the states of so many layers, and the logits, take in memory."""
        width = num_layers * self.shape.hidden_size * np.dtype(self.shape.dtype).itemsize
        return len(self) * width + self._logits_RC.nbytes
