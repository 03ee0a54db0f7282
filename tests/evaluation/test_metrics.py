"""Metrics equal their formulas, and are defined where the formulas are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from pkd_core.evaluation.metrics import compute_metrics, majority_baseline

ALL_CLASS_METRICS = ["accuracy", "f1", "macro_f1", "matthews"]
classes = stnp.arrays(np.int64, 12, elements=st.integers(0, 1))


def to_logits(predictions: np.ndarray, num_classes: int = 2) -> np.ndarray:
    return np.eye(num_classes, dtype=np.float32)[predictions]


@given(classes, classes)
def test_class_metrics_equal_their_formulas(labels: np.ndarray, predictions: np.ndarray) -> None:
    scores = compute_metrics(ALL_CLASS_METRICS, labels, to_logits(predictions), False)
    hits = int(((labels == 1) & (predictions == 1)).sum())
    misses, alarms = int((labels > predictions).sum()), int((labels < predictions).sum())
    rejections = 12 - hits - misses - alarms
    assert scores["accuracy"] == pytest.approx((hits + rejections) / 12)
    assert scores["f1"] == pytest.approx(2 * hits / (2 * hits + misses + alarms) if hits else 0.0)
    other = 2 * rejections / (2 * rejections + misses + alarms) if rejections else 0.0
    occurring = {*labels, *predictions}
    assert scores["macro_f1"] == pytest.approx((scores["f1"] * (1 in occurring) + other) / len(occurring))
    product = (hits + alarms) * (hits + misses) * (rejections + alarms) * (rejections + misses)
    matthews = (hits * rejections - alarms * misses) / product**0.5 if product else 0.0
    assert scores["matthews"] == pytest.approx(matthews)


def test_macro_f1_is_the_mean_over_the_classes_and_f1_is_of_two_alone() -> None:
    labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])
    scores = compute_metrics(["macro_f1"], labels, to_logits(predictions, 4), False)
    assert scores["macro_f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3), "class 3 occurs nowhere"
    with pytest.raises(ValueError, match="multiclass"):
        compute_metrics(["f1"], labels, to_logits(predictions, 3), False)


def test_correlations_equal_their_formulas() -> None:
    labels = np.array([0.0, 1.0, 2.0, 5.0], dtype=np.float32)
    predictions = np.array([[0.1], [0.9], [4.0], [3.0]], dtype=np.float32)
    scores = compute_metrics(["pearson", "spearman"], labels, predictions, True)
    assert scores["pearson"] == pytest.approx(np.corrcoef(labels, predictions[:, 0])[0, 1])
    # The last two ranks are swapped: 1 - 6 * (1 + 1) / (4 * 15).
    assert scores["spearman"] == pytest.approx(0.8)


@pytest.mark.parametrize("constant", ["labels", "predictions"])
def test_correlation_with_a_constant_is_zero(constant: str) -> None:
    values = {"labels": np.arange(4.0), "predictions": np.arange(4.0)} | {constant: np.full(4, 2.5)}
    scores = compute_metrics(["pearson", "spearman"], values["labels"], values["predictions"][:, None], True)
    assert scores == {"pearson": 0.0, "spearman": 0.0}


def test_baseline_is_the_majority_class_or_the_mean() -> None:
    labels = np.array([1, 1, 0, 1, 0])
    assert majority_baseline(labels, "accuracy", False) == pytest.approx(0.6)
    assert majority_baseline(labels, "f1", False) == pytest.approx(0.75)
    assert majority_baseline(labels, "matthews", False) == 0.0
    assert majority_baseline(np.array([2, 2, 0, 1]), "accuracy", False) == 0.5
    # Class 2 always: its F1 is 2 * 2 / (2 * 2 + 2), the others' 0.
    assert majority_baseline(np.array([2, 2, 0, 1]), "macro_f1", False) == pytest.approx(2 / 9)
    assert majority_baseline(np.zeros(3, np.int64), "accuracy", False) == 1.0
    assert majority_baseline(np.array([0.0, 5.0], np.float32), "pearson", True) == 0.0


def test_unknown_metrics_and_unequal_lengths_are_errors() -> None:
    with pytest.raises(ValueError, match="unknown metric 'bleu'"):
        compute_metrics(["bleu"], np.array([0]), np.zeros((1, 2)), False)
    with pytest.raises(ValueError, match="one label for each of 2 predictions, got 1"):
        compute_metrics(["accuracy"], np.array([0]), np.zeros((2, 2)), False)
