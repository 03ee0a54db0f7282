"""Several labels of an example: scores against scikit-learn's, the baseline, answers as files, who is right where."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pkd_core.evaluation.agreement import Agreement, count_agreement
from pkd_core.evaluation.answers import read_answers, write_answers
from pkd_core.evaluation.metrics import compute_metrics, majority_baseline, predictions_of
from pkd_core.evaluation.paired_bootstrap import Answers, compare_methods
from pkd_core.evaluation.resampled_scores import resampled_scores

NAMES = ("micro_f1", "macro_f1", "subset_accuracy")


def example(num_rows: int = 40, num_labels: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, the last of which no example has, and logits that find three quarters of the others."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((num_rows, num_labels)) < [0.5, 0.3, 0.2, 0.1, 0.0]).astype(np.float32)
    is_right = generator.random(labels.shape) < [0.75, 0.75, 0.75, 0.75, 1.0]
    return labels, np.where(is_right == (labels == 1), 1.5, -0.5).astype(np.float32)


def expected(name: str, labels: np.ndarray, predictions: np.ndarray) -> float:
    match name:
        case "micro_f1":
            return float(f1_score(labels, predictions, average="micro", zero_division=0.0))
        case "macro_f1":
            occurs = (labels + predictions).any(axis=0)
            if not occurs.any():
                return 0.0
            return float(
                f1_score(labels[:, occurs], predictions[:, occurs], average="macro", zero_division=0.0)
            )
        case _:
            return float(accuracy_score(labels, predictions))


def test_scores_equal_those_of_scikit_learn() -> None:
    labels, logits = example()
    found = compute_metrics(NAMES, labels, logits, False)
    assert found == {name: pytest.approx(expected(name, labels, logits > 0)) for name in NAMES}
    assert 0.4 < found["macro_f1"] < found["micro_f1"] < 0.8


def test_a_label_is_given_where_its_probability_is_one_half_or_more() -> None:
    labels, logits = np.zeros((2, 2), np.float32), np.array([[0.0, -0.001], [-2.0, 3.0]])
    assert predictions_of(labels, logits, False).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_scores_as_the_repeated_examples_do(name: str) -> None:
    labels, logits = example()
    counts = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=30)
    counts[0] = 40 * np.eye(40, dtype=int)[int(np.flatnonzero(~labels.any(axis=1))[0])]
    predictions = (logits > 0).astype(np.float32)
    scores = resampled_scores(name, labels, predictions, counts, 5)
    for row, score in zip(counts, scores, strict=True):
        rows = np.repeat(np.arange(40), row)
        assert score == pytest.approx(expected(name, labels[rows], predictions[rows]))


def test_the_baseline_gives_the_labels_that_half_of_the_examples_have() -> None:
    labels = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    # The first and the third label: 3 and 2 right of 8 given, 6 to find.
    assert majority_baseline(labels, "micro_f1", False) == pytest.approx(2 * 5 / (8 + 6))
    assert majority_baseline(labels, "subset_accuracy", False) == pytest.approx(1 / 4)
    assert majority_baseline(0 * labels, "micro_f1", False) == 0.0


def test_answers_are_read_as_they_were_given(tmp_path: Path) -> None:
    labels, logits = example(num_rows=7)
    write_answers(tmp_path, "dev", np.arange(7), labels, logits)
    found = read_answers(tmp_path, "dev")
    np.testing.assert_array_equal(found.labels_R, labels)
    np.testing.assert_array_equal(found.predictions_R, logits > 0)
    np.testing.assert_array_equal(found.logits_RC, logits)


def test_an_example_is_right_where_all_its_labels_are() -> None:
    gold = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    first = np.array([[1, 0], [0, 1], [1, 1], [1, 0]])
    second = np.array([[1, 0], [0, 0], [0, 1], [0, 0]])
    assert count_agreement(gold, first, second) == Agreement(1, 1, 1, 1)


def test_a_better_method_is_told_apart_over_several_seeds() -> None:
    labels, logits = example(num_rows=300)
    worse = np.stack([example(num_rows=300, seed=seed)[1] > 0 for seed in (1, 2)]).astype(np.float32)
    better = np.stack([logits > 0, labels > 0]).astype(np.float32)
    (found,) = compare_methods(
        {"kd": Answers(labels, better, 5), "finetune": Answers(labels, worse, 5)}, "micro_f1"
    )
    scores = [np.mean([expected("micro_f1", labels, each) for each in one]) for one in (better, worse)]
    assert found.difference == pytest.approx(scores[0] - scores[1])
    assert found.is_distinguishable
    assert found.low < found.difference < found.high
