"""How teacher states lie on disk: uncompressed Arrow IPC files of fixed-size lists.

A record batch on disk is then an array in memory: opening maps the shards instead of reading them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pkd_core.errors import StoreError

ROWS_PER_RECORD_BATCH = 1024
ROWS_PER_SHARD = 32 * ROWS_PER_RECORD_BATCH

_ARROW_TYPES = {"float16": pa.float16(), "float32": pa.float32()}


@dataclass(frozen=True)
class StatesShape:
    """What a row holds: an example id, `num_outputs` float32 logits, and a [CLS] state of `dtype` a layer."""

    num_layers: int
    hidden_size: int
    num_outputs: int
    dtype: str

    def schema(self) -> pa.Schema:
        """Return the columns of a shard, with the shape as metadata."""
        width = self.num_layers * self.hidden_size
        return pa.schema(
            [
                pa.field("example_id", pa.int64(), nullable=False),
                pa.field("logits", pa.list_(pa.float32(), self.num_outputs), nullable=False),
                pa.field("cls_states", pa.list_(_ARROW_TYPES[self.dtype], width), nullable=False),
            ],
            metadata={
                "num_layers": str(self.num_layers),
                "hidden_size": str(self.hidden_size),
                "num_outputs": str(self.num_outputs),
            },
        )


def forecast_bytes(num_rows: int, num_layers: int, hidden_size: int, num_outputs: int, dtype: str) -> int:
    """Return how many bytes the states of so many examples take on disk, Arrow's small headers left out."""
    return num_rows * (8 + 4 * num_outputs + np.dtype(dtype).itemsize * num_layers * hidden_size)


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of a shard, counted from 0."""
    return folder / f"states-{number:05d}.arrow"


@dataclass(frozen=True)
class Block:
    """A record batch in a shard: how many rows, and the byte of the file at which each column begins."""

    num_rows: int
    example_ids: int
    logits: int
    cls_states: int


def open_shard(path: Path) -> tuple[StatesShape, list[Block]]:
    """Look up what a shard holds and where, reading none of it.

    Raises:
        StoreError: If the file is absent, truncated, or no shard of teacher states.
    """
    try:
        mapped = pa.memory_map(str(path))
        whole = mapped.read_buffer(mapped.size())
        reader = pa.ipc.open_file(whole)
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path}: expected a whole Arrow file, got {error}; extract the states again"
        ) from error
    shape = _shape(reader.schema)
    if shape is None or not reader.schema.equals(shape.schema()):
        raise StoreError(
            f"{path}: expected the columns example_id, logits and cls_states with their shape as metadata, "
            f"got {reader.schema.names}; extract the states again"
        )
    blocks = [_block(batch, whole) for batch in batches]
    if None in blocks:
        raise StoreError(
            f"{path}: expected uncompressed columns without nulls, got others; extract the states again"
        )
    return shape, [block for block in blocks if block]


def _shape(schema: pa.Schema) -> StatesShape | None:
    dtypes = {arrow_type: name for name, arrow_type in _ARROW_TYPES.items()}
    try:
        return StatesShape(
            num_layers=int(schema.metadata[b"num_layers"]),
            hidden_size=int(schema.metadata[b"hidden_size"]),
            num_outputs=int(schema.metadata[b"num_outputs"]),
            dtype=dtypes[schema.field("cls_states").type.value_type],
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _block(batch: pa.RecordBatch, whole: pa.Buffer) -> Block | None:
    """Return where a record batch lies in its file; None if its bytes are not there as they are in memory."""
    columns = [
        batch.column("example_id"),
        batch.column("logits").flatten(),
        batch.column("cls_states").flatten(),
    ]
    starts = [column.buffers()[1].address - whole.address for column in columns]
    inside = all(
        start >= 0 and start + column.nbytes <= whole.size
        for start, column in zip(starts, columns, strict=True)
    )
    has_nulls = any(column.null_count for column in columns)
    return Block(len(batch), *starts) if inside and not has_nulls else None
