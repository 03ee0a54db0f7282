"""Scores of many resamples of the same examples at once: each resample is a row of counts, one for each example.

They equal those of `compute_metrics` over the repeated examples. Shape suffixes: N resamples, R examples, C classes.
"""

from typing import Any

import numpy as np

from pkd_core.evaluation.several_labels import several_label_scores

Array = np.ndarray[Any, Any]


def resampled_scores(
    name: str, labels_R: Array, predictions_R: Array, counts_NR: Array, num_classes: int
) -> Array:
    """Return the score of each resample, shape (N,).

    Args:
        name: "accuracy", "f1", "macro_f1", "matthews", "pearson" or "spearman"; of several labels, see
            `several_label_scores`.
        labels_R: Class positions or scores; of several labels, 0 or 1 for each, shape (R, C).
        predictions_R: In the form of the labels.
        counts_NR: How often each example is in each resample.
        num_classes: C; without effect on a correlation of scores.

    Raises:
        ValueError: If the name is unknown.
    """
    weights_NR = np.asarray(counts_NR, dtype=np.float64)
    if labels_R.ndim == 2:
        return several_label_scores(name, labels_R, predictions_R, weights_NR)
    return _scores(name, labels_R, predictions_R, weights_NR, num_classes)


def _scores(name: str, labels_R: Array, predictions_R: Array, weights_NR: Array, num_classes: int) -> Array:
    match name:
        case "accuracy":
            correct_R = (labels_R == predictions_R).astype(np.float64)
            return np.asarray(weights_NR @ correct_R / weights_NR.sum(axis=1))
        case "f1":
            return np.asarray(
                np.nan_to_num(_f1_by_class(labels_R, predictions_R, weights_NR, num_classes)[:, 1])
            )
        case "macro_f1":
            f1_NC = _f1_by_class(labels_R, predictions_R, weights_NR, num_classes)
            return np.asarray(np.nanmean(f1_NC, axis=1))
        case "matthews":
            return _matthews(labels_R, predictions_R, weights_NR, num_classes)
        case "pearson":
            return _correlation(labels_R[None, :], predictions_R[None, :], weights_NR)
        case "spearman":
            return _correlation(_ranks(labels_R, weights_NR), _ranks(predictions_R, weights_NR), weights_NR)
        case _:
            raise ValueError(f"unknown metric {name!r}")


def _class_sums(positions_R: Array, weights_NR: Array, num_classes: int) -> Array:
    """Return each class's number of examples in each resample, shape (N, C)."""
    return np.asarray(weights_NR @ np.eye(num_classes)[positions_R])


def _f1_by_class(labels_R: Array, predictions_R: Array, weights_NR: Array, num_classes: int) -> Array:
    """Return 2 TP / (2 TP + FP + FN) by class; nan for a class that is neither a label nor predicted."""
    correct_NR = weights_NR * (labels_R == predictions_R)
    true_NC = _class_sums(labels_R, correct_NR, num_classes)
    actual_NC = _class_sums(labels_R, weights_NR, num_classes)
    predicted_NC = _class_sums(predictions_R, weights_NR, num_classes)
    both_NC = actual_NC + predicted_NC
    f1_NC: Array = np.divide(2 * true_NC, both_NC, out=np.full_like(both_NC, np.nan), where=both_NC > 0)
    return f1_NC


def _matthews(labels_R: Array, predictions_R: Array, weights_NR: Array, num_classes: int) -> Array:
    """Return the correlation of the classes' indicators (Gorodkin 2004); 0 where labels or predictions are constant."""
    total_N = weights_NR.sum(axis=1)
    correct_N = (weights_NR * (labels_R == predictions_R)).sum(axis=1)
    actual_NC = _class_sums(labels_R, weights_NR, num_classes)
    predicted_NC = _class_sums(predictions_R, weights_NR, num_classes)
    covariance_N = correct_N * total_N - (actual_NC * predicted_NC).sum(axis=1)
    spread_N = (total_N**2 - (actual_NC**2).sum(axis=1)) * (total_N**2 - (predicted_NC**2).sum(axis=1))
    return _divided(covariance_N, np.sqrt(spread_N))


def _correlation(first_NR: Array, second_NR: Array, weights_NR: Array) -> Array:
    """Return the weighted Pearson correlation of each row; 0 where a side is constant."""
    total_N1 = weights_NR.sum(axis=1, keepdims=True)
    first_NR, second_NR = (
        values_NR - (weights_NR * values_NR).sum(axis=1, keepdims=True) / total_N1
        for values_NR in (first_NR, second_NR)
    )
    covariance_N = (weights_NR * first_NR * second_NR).sum(axis=1)
    variances_N = [(weights_NR * values_NR**2).sum(axis=1) for values_NR in (first_NR, second_NR)]
    return _divided(covariance_N, np.sqrt(variances_N[0] * variances_N[1]))


def _ranks(values_R: Array, weights_NR: Array) -> Array:
    """Return each example's rank among the repeated examples, the mean rank for equal values; shape (N, R)."""
    _, positions_R = np.unique(values_R, return_inverse=True)
    sums_NV = _class_sums(positions_R, weights_NR, int(positions_R.max()) + 1)
    below_NV = np.cumsum(sums_NV, axis=1) - sums_NV
    return np.asarray((below_NV + (sums_NV + 1) / 2)[:, positions_R])


def _divided(numerator_N: Array, denominator_N: Array) -> Array:
    tiny = 1e-12
    return np.divide(numerator_N, denominator_N, out=np.zeros_like(numerator_N), where=denominator_N > tiny)
