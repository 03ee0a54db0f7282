"""Writes teacher states shard by shard, in constant memory; a file with a shard's name is always complete.

Shape suffixes: B rows of one call, C classes, D hidden size, N layers.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pkd_core.errors import StoreError
from pkd_core.store.atomic import atomic_file
from pkd_core.store.finished_files import FinishedRecord
from pkd_core.store.os_errors import disk_errors
from pkd_core.teacher_states.format import (
    ROWS_PER_RECORD_BATCH,
    ROWS_PER_SHARD,
    StatesShape,
    shard_path,
)

Array = np.ndarray[Any, Any]


class StatesWriter:
    """Writes rows to shards, each first under a temporary name; a context manager.

    Shards that an interrupted writer finished are kept, and of several writers each has shards of its own: write the
    rows of `todo`, in their order.

    Args:
        folder: Folder of the shards.
        shape: Contents of a row.
        num_rows: Rows of all shards together.
        shard_rows: Rows of every shard but the last.
        finished: Records the finished shards; without it, everything is written again.
        share: Which of how many writers this one is, from 0: of three, the second has the shards 1, 4, 7 ....

    Attributes:
        todo: The rows to write, neighbouring shards in one range.
        rows_done: Rows written so far, including those of kept shards.
    """

    def __init__(
        self,
        folder: Path,
        shape: StatesShape,
        num_rows: int,
        shard_rows: int = ROWS_PER_SHARD,
        finished: FinishedRecord | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._folder = folder
        self._finished = finished
        self._shape = shape
        self._num_rows = num_rows
        self._shard_rows = shard_rows
        self._open_shard = contextlib.ExitStack()
        self._writer: Any = None
        number, num_writers = share
        own = range(number, -(-num_rows // shard_rows), num_writers)
        self._shards = [
            one for one in own if not (finished and finished.is_finished(shard_path(folder, one).name))
        ]
        self.todo = _joined([self._rows_of(one) for one in self._shards])
        self._num_own_rows = sum(len(self._rows_of(one)) for one in own)
        self.rows_done = self._num_own_rows - sum(map(len, self.todo))
        # Of the first of the shards that are left.
        self._num_in_shard = 0

    def __enter__(self) -> "StatesWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            assert not self._shards, f"wrote {self.rows_done} of {self._num_own_rows} rows"
        self._open_shard.__exit__(kind, error, traceback)

    def write(self, example_ids_B: Array, logits_BC: Array, cls_states_BND: Array) -> None:
        """Append the next rows of `todo`.

        Args:
            example_ids_B: Ids, shape (B,).
            logits_BC: Teacher logits, shape (B, C).
            cls_states_BND: [CLS] states of all layers, shape (B, N, D).

        Raises:
            StoreError: If the disk is full, or a value is not finite in the stored type.
        """
        start = 0
        while start < len(example_ids_B):
            num_missing = len(self._rows_of(self._shards[0])) - self._num_in_shard
            stop = min(len(example_ids_B), start + ROWS_PER_RECORD_BATCH, start + num_missing)
            batch = self._record_batch(
                example_ids_B[start:stop], logits_BC[start:stop], cls_states_BND[start:stop]
            )
            with disk_errors("write teacher states to", self._folder):
                self._append(batch)
            start = stop

    def _rows_of(self, shard: int) -> range:
        start = shard * self._shard_rows
        return range(start, min(start + self._shard_rows, self._num_rows))

    def _record_batch(self, example_ids_B: Array, logits_BC: Array, cls_states_BND: Array) -> pa.RecordBatch:
        with np.errstate(over="ignore"):
            stored = cls_states_BND.astype(self._shape.dtype, copy=False).reshape(-1)
        logits = logits_BC.astype(np.float32, copy=False).reshape(-1)
        if not (_is_finite(stored) and _is_finite(logits)):
            raise StoreError(
                f"expected finite teacher states, got some out of the range of {self._shape.dtype}; "
                "set states.dtype=float32, or train the teacher again"
            )
        columns = [
            pa.array(example_ids_B, pa.int64()),
            pa.FixedSizeListArray.from_arrays(pa.array(logits), self._shape.num_outputs),
            pa.FixedSizeListArray.from_arrays(pa.array(stored), stored.size // len(example_ids_B)),
        ]
        return pa.record_batch(columns, schema=self._shape.schema())

    def _append(self, batch: pa.RecordBatch) -> None:
        """Write a record batch that fits the open shard, and rename the shard to its final name once it is full."""
        shard = self._shards[0]
        path = shard_path(self._folder, shard)
        if self._writer is None:
            file = self._open_shard.enter_context(atomic_file(path))
            self._writer = pa.ipc.new_file(file, batch.schema)
        self._writer.write_batch(batch)
        self.rows_done += len(batch)
        self._num_in_shard += len(batch)
        if self._num_in_shard == len(self._rows_of(shard)):
            self._writer.close()
            self._writer = None
            self._open_shard.close()
            self._num_in_shard = 0
            del self._shards[0]
            if self._finished:
                self._finished.add(path.name)


def _joined(ranges: Sequence[range]) -> list[range]:
    """Return ranges of which none begins where the one before it ends.

    >>> _joined([range(0, 2), range(2, 4), range(6, 7)])
    [range(0, 4), range(6, 7)]
    """
    joined: list[range] = []
    for one in ranges:
        if joined and joined[-1].stop == one.start:
            joined[-1] = range(joined[-1].start, one.stop)
        else:
            joined.append(one)
    return joined


def _is_finite(values: Array) -> bool:
    """Return whether all values are finite, in one pass: exactly then their minimum and maximum are."""
    least, greatest = torch.aminmax(torch.from_numpy(values))
    return bool(least.isfinite() & greatest.isfinite())
