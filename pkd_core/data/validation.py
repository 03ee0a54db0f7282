"""Checks that a task's files can be trained and evaluated on, before anything is computed."""

from collections.abc import Collection
from pathlib import Path

from pkd_core.data.examples import read_split
from pkd_core.data.task import LABEL_SEPARATOR, Split, Task
from pkd_core.data.tsv import Label
from pkd_core.errors import DataError, listed, shortened


def check_examples(task: Task, data_raw: Path) -> None:
    """Read all files of a task once, as tokenising does.

    Raises:
        DataError: A required file is missing, a line is malformed, or labels are missing (see `check_labels`).
    """
    for split in task.splits:
        path = data_raw / split.file
        if split.required or path.exists():
            labels = {example.label for example in read_split(path, task, split)}
            if split.label is not None:
                check_labels(path, task, split, labels)


def check_labels(path: Path, task: Task, split: Split, labels: Collection[Label]) -> None:
    """Check that a labelled split has examples of every label (train) or of two labels (dev).

    Args:
        path: The split's file, for the message.
        task: Defines the labels.
        split: The split.
        labels: The distinct labels of its examples: class positions, scores, or the positions of several labels.

    Raises:
        DataError: A label is missing.
    """
    found = {position for label in labels for position in (label if isinstance(label, tuple) else (label,))}
    missing = [label for position, label in enumerate(task.labels) if position not in found]
    if split is task.train_split and missing:
        raise DataError(
            f"{path}: expected examples of every label of {task.name}, got none of {listed(missing)}; add some, or "
            "take the label out of the task"
        )
    if len(labels) < 2:
        (label,) = labels
        raise DataError(
            f"{path}: expected at least two different labels, for a score to mean something, got "
            f"{shortened(_shown(task, label))} alone; add examples of another"
        )


def _shown(task: Task, label: Label) -> str:
    if isinstance(label, tuple):
        return LABEL_SEPARATOR.join(task.labels[position] for position in label) or "no label"
    return task.labels[int(label)] if task.labels and label is not None else str(label)


def check_unlabelled(task: Task, data_raw: Path) -> None:
    """Read a task's unlabelled texts completely.

    Raises:
        DataError: A line is malformed, or there is none.
    """
    for _ in read_split(data_raw / task.unlabelled_split.file, task, task.unlabelled_split, []):
        pass
