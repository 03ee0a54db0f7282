"""Which labels a method confuses. Shape suffixes: S seeds, R examples, C classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pkd_core.evaluation.paired_bootstrap import Answers

Array = np.ndarray[Any, Any]

# A matrix of more classes cannot be read on a phone.
MAX_CLASSES = 6
_NUM_PAIRS = 15


@dataclass(frozen=True)
class Confusion:
    """How often one method and depth gave each label to the dev examples of each label.

    Attributes:
        task: Task name.
        method: The method, or "teacher".
        num_layers: Depth.
        labels: Label texts in the order of the classes.
        counts_CC: Mean number over seeds; a row is the examples of a gold label, a column a predicted label.
    """

    task: str
    method: str
    num_layers: int
    labels: Sequence[str]
    counts_CC: Array


@dataclass(frozen=True)
class ConfusedPair:
    """A gold label, the wrong label that was predicted for it, and how often, for each of several methods."""

    gold: str
    predicted: str
    counts: Sequence[float]


def count_confusions(answers: Answers) -> Array:
    """Return the mean over seeds of how often each class was predicted for each gold class, shape (C, C)."""
    num_classes, num_seeds = answers.num_classes, len(answers.predictions_SR)
    cells_SR = answers.labels_R * num_classes + answers.predictions_SR
    counts = np.bincount(cells_SR.ravel(), minlength=num_classes**2)
    return np.asarray(counts.reshape(num_classes, num_classes) / num_seeds)


def most_confused(confusions: Sequence[Confusion]) -> list[ConfusedPair]:
    """Return the pairs of labels that are confused most often by all methods of a task together, the worst first."""
    counts_MCC = np.stack([one.counts_CC for one in confusions])
    total_CC = counts_MCC.sum(axis=0)
    np.fill_diagonal(total_CC, 0)
    labels = confusions[0].labels
    worst = np.argsort(-total_CC, axis=None, kind="stable")[:_NUM_PAIRS]
    pairs = [np.unravel_index(position, total_CC.shape) for position in worst.tolist()]
    return [
        ConfusedPair(labels[gold], labels[predicted], counts_MCC[:, gold, predicted].tolist())
        for gold, predicted in pairs
        if total_CC[gold, predicted] > 0
    ]
