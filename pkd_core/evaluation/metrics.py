"""Scores of predictions, by the names of GLUE's metrics. Shape suffixes: R examples, C outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

from pkd_core.evaluation.several_labels import several_label_scores

Array = np.ndarray[Any, Any]


def compute_metrics(
    names: Sequence[str], labels_R: Array, logits_RC: Array, is_regression: bool
) -> dict[str, float]:
    """Score predictions against labels.

    Args:
        names: Any of "accuracy", "f1" (of class 1 of two), "macro_f1" (unweighted mean of the F1 of each class that
            occurs in labels or predictions), "matthews", "pearson", "spearman".
            Of several labels, see `several_label_scores`.
        labels_R: Class positions or scores; of several labels, 0 or 1 for each, shape (R, C).
        logits_RC: Model outputs; C is 1 for regression.
        is_regression: Whether the outputs are scores rather than classes.

    Returns:
        A score for each name. A correlation (also Matthews') with constant predictions or labels is 0.0, not nan.

    Raises:
        ValueError: If a name is unknown or does not fit the number of classes, or the numbers of labels and predictions
            differ.
    """
    if len(labels_R) != len(logits_RC):
        raise ValueError(f"expected one label for each of {len(logits_RC)} predictions, got {len(labels_R)}")
    predictions_R = predictions_of(labels_R, logits_RC, is_regression)
    if labels_R.ndim == 2:
        once = np.ones((1, len(labels_R)))
        return {name: float(several_label_scores(name, labels_R, predictions_R, once)[0]) for name in names}
    return {name: _score(name, labels_R, predictions_R) for name in names}


def predictions_of(labels_R: Array, logits_RC: Array, is_regression: bool) -> Array:
    """Return what a model answers, in the form that its labels have.

    Args:
        labels_R: Class positions or scores; of several labels, 0 or 1 for each, shape (R, C).
        logits_RC: Model outputs.
        is_regression: Whether the outputs are scores.

    Returns:
        The most probable class, or the score; of several labels, 1 for each with a probability of 0.5 or more, else 0.
    """
    if labels_R.ndim == 2:
        return (logits_RC >= 0).astype(labels_R.dtype)
    return np.asarray(logits_RC[:, 0] if is_regression else logits_RC.argmax(axis=-1))


def majority_baseline(labels_R: Array, name: str, is_regression: bool) -> float:
    """Score a constant prediction: the most frequent class, the mean score, or the labels that half of them have.

    Args:
        labels_R: Class positions or scores; of several labels, 0 or 1 for each, shape (R, C).
        name: The metric.
        is_regression: Whether the labels are scores.
    """
    if labels_R.ndim == 2:
        constant_RC = np.broadcast_to(labels_R.mean(axis=0) - 0.5, labels_R.shape)
    elif is_regression:
        constant_RC = np.full((len(labels_R), 1), labels_R.mean())
    else:
        counts_C = np.bincount(labels_R, minlength=2)
        constant_RC = np.broadcast_to(counts_C, (len(labels_R), len(counts_C)))
    return compute_metrics([name], labels_R, constant_RC, is_regression)[name]


def _score(name: str, labels_R: Array, predictions_R: Array) -> float:
    is_constant = np.ptp(labels_R) == 0 or np.ptp(predictions_R) == 0
    match name:
        case "matthews" | "pearson" | "spearman" if is_constant:
            return 0.0
        case "accuracy":
            return float(sklearn_metrics.accuracy_score(labels_R, predictions_R))
        case "f1" | "macro_f1":
            average = "binary" if name == "f1" else "macro"
            return float(
                sklearn_metrics.f1_score(labels_R, predictions_R, average=average, zero_division=0.0)
            )
        case "matthews":
            return float(sklearn_metrics.matthews_corrcoef(labels_R, predictions_R))
        case "pearson":
            return float(stats.pearsonr(labels_R, predictions_R).statistic)
        case "spearman":
            return float(stats.spearmanr(labels_R, predictions_R).statistic)
        case _:
            raise ValueError(f"unknown metric {name!r}")
