"""Scores of predictions, under the names that GLUE's tasks use."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

Array = np.ndarray[Any, Any]


def compute_metrics(
    names: Sequence[str], labels: Array, logits: Array, is_regression: bool
) -> dict[str, float]:
    """Score predictions against labels.

    Args:
        names: Of "accuracy", "f1" (of class 1; the plain mean where there are more than two classes),
            "matthews", "pearson", "spearman".
        labels: Class positions or scores, shape (R,).
        logits: Model outputs, shape (R, C); C is 1 for regression.
        is_regression: Whether the outputs are scores rather than classes.

    Returns:
        A score for each name. A correlation (Matthews too) with constant predictions or labels counts as 0.0, not
        as nan.

    Raises:
        ValueError: If a name is unknown, or there are not as many labels as logits.
    """
    if len(labels) != len(logits):
        raise ValueError(f"expected one label for each of {len(logits)} predictions, got {len(labels)}")
    predictions = logits[:, 0] if is_regression else logits.argmax(axis=-1)
    return {name: _score(name, labels, predictions, logits.shape[-1]) for name in names}


def majority_baseline(labels: Array, name: str, is_regression: bool) -> float:
    """Score the constant prediction that knows only the labels: the most frequent class, or the mean score.

    Args:
        labels: Class positions or scores, shape (R,).
        name: The metric.
        is_regression: Whether the labels are scores.
    """
    if is_regression:
        constant = np.full((len(labels), 1), labels.mean())
    else:
        counts = np.bincount(labels, minlength=2)
        constant = np.broadcast_to(counts, (len(labels), len(counts)))
    return compute_metrics([name], labels, constant, is_regression)[name]


def _score(name: str, labels: Array, predictions: Array, num_outputs: int) -> float:
    is_constant = np.ptp(labels) == 0 or np.ptp(predictions) == 0
    match name:
        case "matthews" | "pearson" | "spearman" if is_constant:
            return 0.0
        case "accuracy":
            return float(sklearn_metrics.accuracy_score(labels, predictions))
        case "f1":
            average = "macro" if num_outputs > 2 else "binary"
            return float(sklearn_metrics.f1_score(labels, predictions, average=average, zero_division=0.0))
        case "matthews":
            return float(sklearn_metrics.matthews_corrcoef(labels, predictions))
        case "pearson":
            return float(stats.pearsonr(labels, predictions).statistic)
        case "spearman":
            return float(stats.spearmanr(labels, predictions).statistic)
        case _:
            raise ValueError(f"unknown metric {name!r}")
