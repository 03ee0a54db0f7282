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

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class AnswerTable:
    """A model's answers to a split, in the split's order.

    Attributes:
        example_ids_R: Ids within the split.
        labels_R: Class positions or scores.
        predictions_R: Class positions or scores.
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
        labels_R: Class positions (int64) or scores (float32).
        logits_RC: Model outputs.
    """
    num_rows, num_outputs = logits_RC.shape
    is_class = np.issubdtype(labels_R.dtype, np.integer)
    predictions_R = logits_RC.argmax(axis=1) if is_class else logits_RC[:, 0]
    logits = pa.FixedSizeListArray.from_arrays(
        pa.array(logits_RC.astype(np.float32).reshape(num_rows * num_outputs)), num_outputs
    )
    table = pa.table(
        {
            "example_id": pa.array(example_ids_R, pa.int64()),
            "label": pa.array(labels_R),
            "prediction": pa.array(predictions_R.astype(labels_R.dtype)),
            "logits": logits,
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
    logits = table["logits"].combine_chunks()
    return AnswerTable(
        table["example_id"].to_numpy(),
        table["label"].to_numpy(),
        table["prediction"].to_numpy(),
        logits.flatten().to_numpy().reshape(len(table), -1),
    )


def _path(folder: Path, split: str) -> Path:
    return folder / f"answers-{split}.parquet"
