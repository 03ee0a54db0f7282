"""A teacher's logits and [CLS] states of every training example, read where they lie on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pkd_core.engine.states_format import StatesShape, open_shard, shard_path
from pkd_core.errors import StoreError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TeacherPart:
    """The teacher's say on one batch: logits (B, C) in float32, [CLS] states (B, M, D) as stored."""

    logits_BC: Tensor
    cls_states_BMD: Tensor

    def to(self, device: torch.device) -> "TeacherPart":
        """Return the part on `device`; to a GPU it goes without waiting for what that still computes."""
        if device.type == "cuda":
            pinned = TeacherPart(self.logits_BC.pin_memory(), self.cls_states_BMD.pin_memory())
            return TeacherPart(
                pinned.logits_BC.to(device, non_blocking=True),
                pinned.cls_states_BMD.to(device, non_blocking=True),
            )
        return TeacherPart(self.logits_BC.to(device), self.cls_states_BMD.to(device))


class TeacherStates:
    """Stored states of all examples, joined by example id, whatever order they were written in.

    Attributes:
        shape: Layers, hidden size, outputs, and the states' type.
    """

    def __init__(
        self,
        folder: Path,
        shape: StatesShape,
        example_ids_R: Array,
        logits_RC: Array,
        blocks_RND: list[Array],
    ) -> None:
        self.shape = shape
        self._folder = folder
        self._order_R = np.argsort(example_ids_R, kind="stable")
        self._sorted_ids_R = example_ids_R[self._order_R]
        self._logits_RC = logits_RC
        self._blocks_RND = blocks_RND
        self._block_starts = np.cumsum([0, *(len(block) for block in blocks_RND[:-1])])

    def __len__(self) -> int:
        return len(self._sorted_ids_R)

    @classmethod
    def open(cls, folder: Path) -> "TeacherStates":
        """Map a folder's shards, without reading the states.

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
        shape = shapes.pop()
        batches = [batch for _, shard_batches in shards for batch in shard_batches]
        states = cls(
            folder,
            shape,
            np.concatenate([batch.column("example_id").to_numpy() for batch in batches]),
            np.concatenate([_view(batch, "logits", shape.num_outputs) for batch in batches]),
            [_view(batch, "cls_states", shape.num_layers, shape.hidden_size) for batch in batches],
        )
        ids_R = states._sorted_ids_R
        if (ids_R[1:] == ids_R[:-1]).any():
            raise StoreError(
                f"{folder}: expected every example once, got some twice; extract the states again"
            )
        return states

    def gather(self, example_ids_B: Tensor, layers: Sequence[int]) -> TeacherPart:
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
        rows_B = self._rows(example_ids_B.cpu().numpy())
        columns_M = np.array(layers, dtype=np.int64) - 1
        cls_states_BMD = np.empty((len(rows_B), len(columns_M), self.shape.hidden_size), self.shape.dtype)
        if len(columns_M):
            block_B = np.searchsorted(self._block_starts, rows_B, side="right") - 1
            places = zip(block_B.tolist(), (rows_B - self._block_starts[block_B]).tolist(), strict=True)
            for position, (block, row) in enumerate(places):
                cls_states_BMD[position] = self._blocks_RND[block][row][columns_M]
        return TeacherPart(torch.from_numpy(self._logits_RC[rows_B]), torch.from_numpy(cls_states_BMD))

    def _rows(self, example_ids_B: Array) -> Array:
        places_B = np.searchsorted(self._sorted_ids_R, example_ids_B)
        known_B = self._sorted_ids_R[np.minimum(places_B, len(self) - 1)] == example_ids_B
        if not known_B.all():
            raise StoreError(
                f"{self._folder}: expected states of example {example_ids_B[~known_B][0]}, found none; "
                "extract them again from the same tokens"
            )
        rows_B: Array = self._order_R[places_B]
        return rows_B


def _view(batch: pa.RecordBatch, name: str, *row_shape: int) -> Array:
    values: Array = batch.column(name).flatten().to_numpy(zero_copy_only=True)
    return values.reshape(-1, *row_shape)
