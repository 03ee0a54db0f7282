"""Files for the GLUE server."""

from pathlib import Path
from typing import Any

import numpy as np

from pkd_core.data.task import Task

Array = np.ndarray[Any, Any]


def write_submission(path: Path, task: Task, example_ids: Array, logits: Array) -> None:
    """Write a split's predictions as the server wants them: a header, then index and prediction, by tabs.

    Args:
        path: Of the TSV file, such as ".../RTE.tsv".
        task: Gives the label texts; a regression task's scores are kept within its range.
        example_ids: The test file's own numbering, shape (R,).
        logits: Model outputs, shape (R, C).
    """
    if task.is_regression:
        scores = np.clip(logits[:, 0], *(task.label_range or (None, None)))
        predictions = [f"{score:.3f}" for score in scores.tolist()]
    else:
        predictions = [task.labels[position] for position in logits.argmax(axis=-1)]
    lines = [f"{index}\t{text}\n" for index, text in zip(example_ids.tolist(), predictions, strict=True)]
    path.write_text("index\tprediction\n" + "".join(lines), encoding="utf-8", newline="\n")
