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


def open_shard(path: Path) -> tuple[StatesShape, list[pa.RecordBatch]]:
    """Map a shard; its record batches keep the map open for as long as they live.

    Raises:
        StoreError: If the file is absent, truncated, or no shard of teacher states.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path}: expected a whole Arrow file, got {error}; extract the states again"
        ) from error
    schema = reader.schema
    try:
        dtypes = {arrow_type: name for name, arrow_type in _ARROW_TYPES.items()}
        shape = StatesShape(
            num_layers=int(schema.metadata[b"num_layers"]),
            hidden_size=int(schema.metadata[b"hidden_size"]),
            num_outputs=int(schema.metadata[b"num_outputs"]),
            dtype=dtypes[schema.field("cls_states").type.value_type],
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        shape = None
    if shape is None or not schema.equals(shape.schema()):
        raise StoreError(
            f"{path}: expected the columns example_id, logits and cls_states with their shape as metadata, "
            f"got {schema.names}; extract the states again"
        )
    return shape, batches
