"""Scores of resamples equal those of repeated examples; intervals cover what they should; Holm's correction."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pkd_core.evaluation.metrics import compute_metrics
from pkd_core.evaluation.paired_bootstrap import Answers, compare_methods, holm, score_interval
from pkd_core.evaluation.resampled_scores import resampled_scores

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(
    ("name", "num_classes"),
    [
        ("accuracy", 2),
        ("f1", 2),
        ("macro_f1", 2),
        ("macro_f1", 4),
        ("matthews", 2),
        ("matthews", 4),
        ("pearson", 1),
        ("spearman", 1),
    ],
)
def test_a_resample_scores_as_the_repeated_examples_do(name: str, num_classes: int) -> None:
    generator = np.random.default_rng(1)
    num_examples, is_regression = 30, num_classes == 1
    if is_regression:
        labels_R = generator.integers(0, 6, num_examples) / 2  # with equal values
        predictions_R = np.round(labels_R + generator.normal(size=num_examples), 1)
    else:
        labels_R = generator.integers(0, num_classes, num_examples)
        guesses_R = generator.integers(0, num_classes, num_examples)
        predictions_R = np.where(generator.random(num_examples) < 0.6, labels_R, guesses_R)
    counts_NR = generator.multinomial(num_examples, np.full(num_examples, 1 / num_examples), size=40)
    # One that lacks a class, and one of a single example.
    counts_NR[0] = 3 * (labels_R != labels_R.max())
    counts_NR[1] = np.eye(num_examples)[5] * num_examples
    scores_N = resampled_scores(name, labels_R, predictions_R, counts_NR, num_classes)
    for counts_R, score in zip(counts_NR, scores_N, strict=True):
        rows = np.repeat(np.arange(num_examples), counts_R)
        outputs = predictions_R[rows][:, None] if is_regression else np.eye(num_classes)[predictions_R[rows]]
        expected = compute_metrics([name], labels_R[rows], outputs, is_regression)[name]
        assert score == pytest.approx(expected, abs=1e-9)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown metric 'recall'"):
        resampled_scores("recall", np.zeros(2), np.zeros(2), np.ones((1, 2)), 2)


def answers(labels_R: Array, accuracy: float, num_seeds: int, seed: int) -> Answers:
    generator = np.random.default_rng(seed)
    right_SR = generator.random((num_seeds, len(labels_R))) < accuracy
    return Answers(labels_R, np.where(right_SR, labels_R, 1 - labels_R), 2)


LABELS = np.random.default_rng(0).integers(0, 2, 400)


def test_equal_answers_have_no_difference() -> None:
    one = answers(LABELS, 0.8, 1, seed=1)
    (found,) = compare_methods({"kd": one, "finetune": one}, "accuracy")
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert not found.is_distinguishable


def test_a_large_difference_is_found_and_has_the_sign_of_the_first() -> None:
    better, worse = answers(LABELS, 0.95, 3, seed=1), answers(LABELS, 0.7, 3, seed=2)
    (found,) = compare_methods({"kd": better, "finetune": worse}, "accuracy")
    means = [(one.predictions_SR == LABELS).mean() for one in (better, worse)]
    assert found.difference == pytest.approx(means[0] - means[1])
    assert 0.15 < found.low < found.difference < found.high < 0.35
    assert found.p_value == pytest.approx(2 / 4001)
    assert found.is_distinguishable


def test_the_interval_is_that_of_paired_answers() -> None:
    """Two models that differ in few examples: McNemar's standard error, far below that of two separate samples."""
    first = answers(LABELS, 0.8, 1, seed=1).predictions_SR
    second = first.copy()
    second[0, :12] = 1 - LABELS[:12]
    second[0, 12:16] = LABELS[12:16]
    pair = {"kd": Answers(LABELS, first, 2), "finetune": Answers(LABELS, second, 2)}
    (found,) = compare_methods(pair, "accuracy")
    gains_R = (first[0] == LABELS).astype(int) - (second[0] == LABELS)
    error = gains_R.std() / np.sqrt(len(LABELS))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_intervals_cover_the_true_difference_about_as_often_as_they_say() -> None:
    covered = 0
    for number in range(60):
        labels_R = np.random.default_rng(number).integers(0, 2, 150)
        pair = {
            "kd": answers(labels_R, 0.8, 1, seed=2 * number),
            "finetune": answers(labels_R, 0.75, 1, seed=2 * number + 1),
        }
        (found,) = compare_methods(pair, "accuracy")
        covered += found.low <= 0.05 <= found.high
    # 95 % of 60, give or take what binomial chance allows.
    assert stats.binomtest(covered, 60, 0.95).pvalue > 0.001


def test_seeds_that_differ_widen_the_interval() -> None:
    steady = np.tile(answers(LABELS, 0.8, 1, seed=3).predictions_SR, (4, 1))
    collapsed = steady.copy()
    collapsed[0] = 0
    other = answers(LABELS, 0.8, 4, seed=4)
    widths = []
    for predictions in (steady, collapsed):
        pair = {"kd": Answers(LABELS, predictions, 2), "finetune": other}
        (found,) = compare_methods(pair, "accuracy")
        widths.append(found.high - found.low)
    assert widths[1] > 1.5 * widths[0]


def test_every_pair_is_compared_and_corrected_for_their_number() -> None:
    methods = {
        name: answers(LABELS, accuracy, 2, seed)
        for seed, (name, accuracy) in enumerate({"finetune": 0.7, "kd": 0.8, "pkd-skip": 0.81}.items())
    }
    found = compare_methods(methods, "accuracy")
    assert [(one.first, one.second) for one in found] == [
        ("finetune", "kd"), ("finetune", "pkd-skip"), ("kd", "pkd-skip")
    ]  # fmt: skip
    assert [one.corrected for one in found] == holm([one.p_value for one in found])
    assert [one.is_distinguishable for one in found] == [True, True, False]
    assert compare_methods(methods, "accuracy") == found


def test_holms_correction_equals_the_published_procedure() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_method_has_nothing_to_be_compared_with() -> None:
    assert compare_methods({"kd": answers(LABELS, 0.8, 1, seed=1)}, "accuracy") == []


def test_the_interval_of_an_accuracy_is_nearly_the_binomial_one() -> None:
    labels_R = np.zeros(1000, int)
    predictions_SR = (np.arange(1000) < 300).astype(int)[None]
    low, high = score_interval(Answers(labels_R, predictions_SR, num_classes=2), "accuracy")
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.003)
