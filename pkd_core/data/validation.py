"""Looks whether a task's files hold something to learn and to score, before anything is computed or written."""

from collections.abc import Collection
from pathlib import Path

from pkd_core.data.task import Split, Task
from pkd_core.data.tsv import read_examples
from pkd_core.errors import DataError

_NUM_NAMED = 5


def check_examples(task: Task, data_raw: Path) -> None:
    """Read every file of a task once, as tokenising will.

    Raises:
        DataError: A required file is absent, a line is not of the stated shape, or `check_labels` finds fault.
    """
    for split in task.splits:
        path = data_raw / split.file
        if split.required or path.exists():
            labels = {example.label for example in read_examples(path, task, split)}
            if split.label is not None:
                check_labels(path, task, split, labels)


def check_labels(path: Path, task: Task, split: Split, found: Collection[float | int | None]) -> None:
    """Check the different labels of a labelled split.

    Args:
        path: The split's file, for the message.
        task: Says which labels there are.
        split: "train" needs examples of every label, the others of two.
        found: Each label that occurs, once: a class position or a score.

    Raises:
        DataError: There are too few.
    """
    absent = [label for position, label in enumerate(task.labels) if position not in found]
    if split is task.train_split and absent:
        named = ", ".join(absent[:_NUM_NAMED]) + (" and more" if len(absent) > _NUM_NAMED else "")
        raise DataError(
            f"{path}: expected examples of every label of {task.name}, got none of {named}; add some, or take the "
            "label out of the task"
        )
    if len(found) < 2:
        (label,) = found
        shown = task.labels[int(label)] if task.labels and label is not None else label
        raise DataError(
            f"{path}: expected at least two different labels, for a score to mean something, got {shown} alone; "
            "add examples of another"
        )
