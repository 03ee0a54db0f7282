"""Scores of each label by itself. Shape suffixes: R examples, C labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LabelScores:
    """How well each label was found.

    Attributes:
        precision_C: Of the examples that got the label, the part that has it; 0 where none got it.
        recall_C: Of the examples that have the label, the part that got it; 0 where none has it.
        f1_C: The harmonic mean of both; 0 where the label does not occur.
        num_examples_C: How many examples have the label.
    """

    precision_C: Array
    recall_C: Array
    f1_C: Array
    num_examples_C: Array


def score_labels(labels_R: Array, predictions_R: Array, num_labels: int) -> LabelScores:
    """Score every label.

    Args:
        labels_R: Class positions; of several labels, 0 or 1 for each, shape (R, C).
        predictions_R: In the form of the labels.
        num_labels: C.
    """
    gold_RC, given_RC = (_indicators(values, num_labels) for values in (labels_R, predictions_R))
    scores = precision_recall_fscore_support(gold_RC, given_RC, average=None, zero_division=0.0)
    return LabelScores(*scores)


def _indicators(classes: Array, num_labels: int) -> Array:
    """Return 1 for each label that an example has and 0 for the others, shape (R, C)."""
    return classes.astype(int) if classes.ndim == 2 else np.eye(num_labels, dtype=int)[classes]
