"""Teacher states on disk: shards that are uncompressed Arrow IPC files of fixed-size lists.

A row's states are then consecutive bytes of the file, which can be read without Arrow.
Shape suffixes: R rows, C classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pkd_core.errors import StoreError

ROWS_PER_RECORD_BATCH = 1024
ROWS_PER_SHARD = 32 * ROWS_PER_RECORD_BATCH

Array = np.ndarray[Any, Any]

_ARROW_TYPES = {"float16": pa.float16(), "float32": pa.float32()}


@dataclass(frozen=True)
class StatesShape:
    """Contents of a row: an example id, `num_outputs` float32 logits, and a [CLS] state of `dtype` for each layer."""

    num_layers: int
    hidden_size: int
    num_outputs: int
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's [CLS] states."""
        return self.num_layers * self.hidden_size * np.dtype(self.dtype).itemsize

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


def forecast_bytes(shape: StatesShape, num_rows: int) -> int:
    """Return how many bytes the states of so many rows take on disk, without Arrow's small headers.

    Example:
        >>> forecast_bytes(StatesShape(num_layers=12, hidden_size=768, num_outputs=2, dtype="float16"), 1000)
        18448000
    """
    return num_rows * (8 + 4 * shape.num_outputs + shape.row_bytes)


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of a shard, counted from 0."""
    return folder / f"states-{number:05d}.arrow"


@dataclass(frozen=True)
class Shard:
    """An opened shard: ids and logits in memory, the [CLS] states on disk.

    Attributes:
        path: The file.
        shape: Contents of its rows.
        example_ids_R: Ids, int64.
        logits_RC: Logits, float32.
        offsets_R: Byte of the file at which each row's states begin, int64.
    """

    path: Path
    shape: StatesShape
    example_ids_R: Array
    logits_RC: Array
    offsets_R: Array

    def __len__(self) -> int:
        return len(self.example_ids_R)


def open_shard(path: Path) -> Shard:
    """Read a shard's ids and logits, and find its states.

    Raises:
        StoreError: If the file is absent, truncated, or no shard of teacher states.
    """
    try:
        mapped = pa.memory_map(str(path))
        content = mapped.read_buffer(mapped.size())
        reader = pa.ipc.open_file(content)
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path}: expected a complete Arrow file, got {error}; extract the states again"
        ) from error
    shape = _shape(reader.schema)
    if shape is None or not reader.schema.equals(shape.schema()):
        raise StoreError(
            f"{path}: expected the columns example_id, logits and cls_states with their shape as metadata, "
            f"got {reader.schema.names}; extract the states again"
        )
    starts = [start for batch in batches if (start := _start_of_states(batch, content)) is not None]
    if not batches or len(starts) < len(batches):
        raise StoreError(
            f"{path}: expected uncompressed columns without nulls, got others; extract the states again"
        )
    logits = [batch.column("logits").flatten().to_numpy() for batch in batches]
    offsets = [
        start + np.arange(len(batch)) * shape.row_bytes for start, batch in zip(starts, batches, strict=True)
    ]
    return Shard(
        path,
        shape,
        np.concatenate([batch.column("example_id").to_numpy() for batch in batches]),
        np.concatenate(logits).reshape(-1, shape.num_outputs),
        np.concatenate(offsets),
    )


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


def _start_of_states(batch: pa.RecordBatch, content: pa.Buffer) -> int | None:
    """Return the byte of the file at which a record batch's states begin; None if it has nulls or is compressed."""
    columns = [
        batch.column("example_id"),
        *(batch.column(name).flatten() for name in ("logits", "cls_states")),
    ]
    states = columns[-1]
    # Arrow returns uncompressed values as a view of the mapped file; pyarrow has no other way to their offset.
    start: int = states.buffers()[1].address - content.address
    is_inside = start >= 0 and start + states.nbytes <= content.size
    return start if is_inside and not any(column.null_count for column in columns) else None
