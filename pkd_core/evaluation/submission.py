"""Submission files for the GLUE server. Shape suffixes: R examples, C outputs."""

from pathlib import Path
from typing import Any

import numpy as np

from pkd_core.data.task import LABEL_SEPARATOR, Task

Array = np.ndarray[Any, Any]


def write_submission(path: Path, task: Task, example_ids_R: Array, logits_RC: Array) -> None:
    """Write a split's predictions in the server's format: tab-separated index and prediction, after a header.

    Args:
        path: The TSV file, such as ".../RTE.tsv".
        task: Gives the label texts, of which several are joined; a regression task's scores are clipped to its range.
        example_ids_R: The numbering of the test file.
        logits_RC: Model outputs.
    """
    if task.is_regression:
        scores = np.clip(logits_RC[:, 0], *(task.label_range or (None, None)))
        predictions = [f"{score:.3f}" for score in scores.tolist()]
    elif task.multi_label:
        predictions = [
            LABEL_SEPARATOR.join(task.labels[position] for position in np.flatnonzero(row))
            for row in logits_RC >= 0
        ]
    else:
        predictions = [task.labels[position] for position in logits_RC.argmax(axis=-1)]
    lines = [f"{index}\t{text}\n" for index, text in zip(example_ids_R.tolist(), predictions, strict=True)]
    path.write_text("index\tprediction\n" + "".join(lines), encoding="utf-8", newline="\n")
