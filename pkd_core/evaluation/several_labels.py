"""Scores of examples that have any number of labels, for many resamples of the same examples at once.

Shape suffixes: N resamples, R examples, C labels.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def several_label_scores(name: str, labels_RC: Array, predictions_RC: Array, weights_NR: Array) -> Array:
    """Return the score of each resample, shape (N,).

    Args:
        name: "micro_f1" (of all decisions, label by label, together), "macro_f1" (unweighted mean of the F1 of each
            label that occurs in labels or predictions) or "subset_accuracy" (the part of examples all of whose labels
            are right). A score of no occurrence at all is 0.
        labels_RC: 1 for a label that an example has, else 0.
        predictions_RC: The same of the predicted labels.
        weights_NR: How often each example is in each resample.

    Raises:
        ValueError: If the name is unknown.
    """
    weights_NR = np.asarray(weights_NR, dtype=np.float64)
    if name == "subset_accuracy":
        right_R = (labels_RC == predictions_RC).all(axis=1)
        return np.asarray(weights_NR @ right_R / weights_NR.sum(axis=1))
    true_NC = weights_NR @ (labels_RC * predictions_RC)
    both_NC = weights_NR @ (labels_RC + predictions_RC)
    match name:
        case "micro_f1":
            return _f1(true_NC.sum(axis=1), both_NC.sum(axis=1))
        case "macro_f1":
            occurs_NC = both_NC > 0
            return np.asarray(_f1(true_NC, both_NC).sum(axis=1) / occurs_NC.sum(axis=1).clip(min=1))
        case _:
            raise ValueError(f"unknown metric {name!r}")


def _f1(true: Array, both: Array) -> Array:
    """Return 2 TP / (2 TP + FP + FN); 0 where nothing occurs."""
    f1: Array = np.divide(2 * true, both, out=np.zeros_like(both), where=both > 0)
    return f1
