"""What one model answered to each example of a labelled split, as a file: to compare models example by example.

Shape suffixes: R examples, C outputs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.errors import StoreError
from pkd_core.evaluation.metrics import predictions_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class AnswerTable:
    """A model's answers to a split, in the split's order.

    Attributes:
        example_ids_R: Ids within the split.
        labels_R: Class positions or scores; of several labels, 0 or 1 for each, shape (R, C).
        predictions_R: In the form of the labels.
        logits_RC: Model outputs.
    """

    example_ids_R: Array
    labels_R: Array
    predictions_R: Array
    logits_RC: Array


def write_answers(folder: Path, split: str, example_ids_R: Array, labels_R: Array, logits_RC: Array) -> None:
    """Write `answers-<split>.parquet`: example_id, label, prediction, logits.

    Args:
        folder: An existing folder.
        split: Name of the split.
        example_ids_R: Ids within the split.
        labels_R: Class positions (int64) or scores (float32); of several labels, 0 or 1 for each (float32), shape
            (R, C), which makes the columns label and prediction lists.
        logits_RC: Model outputs.
    """
    is_class = np.issubdtype(labels_R.dtype, np.integer)
    predictions_R = predictions_of(labels_R, logits_RC, is_regression=not is_class)
    table = pa.table(
        {
            "example_id": pa.array(example_ids_R, pa.int64()),
            "label": _column(labels_R),
            "prediction": _column(predictions_R.astype(labels_R.dtype)),
            "logits": _column(logits_RC.astype(np.float32)),
        }
    )
    pq.write_table(table, _path(folder, split), compression="zstd")


def read_answers(folder: Path, split: str) -> AnswerTable:
    """Read what `write_answers` wrote.

    Raises:
        StoreError: The folder has no answers to this split, or they cannot be read.
    """
    path = _path(folder, split)
    try:
        table = pq.ParquetFile(path).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path}: expected a model's answers, got {type(error).__name__}; evaluate the model again."
        ) from error
    return AnswerTable(*(_array(table[name]) for name in ("example_id", "label", "prediction", "logits")))


def _column(values: Array) -> pa.Array:
    """Return an array as a column; a row of several values is a list."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _array(column: pa.ChunkedArray) -> Array:
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy())
    values = column.combine_chunks().flatten().to_numpy()
    return np.asarray(values.reshape(len(column), column.type.list_size))


def _path(folder: Path, split: str) -> Path:
    return folder / f"answers-{split}.parquet"
