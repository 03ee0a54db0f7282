"""Outputs are matched with labels by their names, by their numbers, and checked by answers."""

import numpy as np
import pytest

from pkd_core.evaluation.label_order import better_order, order_by_name, order_by_number


@pytest.mark.parametrize(
    ("labels", "outputs", "order"),
    [
        (["neg", "pos"], ["neg", "pos"], (0, 1)),
        (["neg", "neutral", "pos"], ["pos", "neg", "neutral"], (1, 2, 0)),
        (["neg", "pos"], ["POS", " Neg "], (1, 0)),
        # The same name but for capitals is two labels: exactly, they differ.
        (["US", "us"], ["us", "US"], (1, 0)),
        (["US", "us"], ["Us", "uS"], None),
        (["neg", "pos"], ["LABEL_0", "LABEL_1"], None),
        (["neg", "pos"], ["neg", "neutral"], None),
    ],
)
def test_by_name(labels: list[str], outputs: list[str], order: tuple[int, ...] | None) -> None:
    assert order_by_name(labels, outputs) == order


@pytest.mark.parametrize(
    ("labels", "outputs", "order"),
    [
        (["neg", "pos"], ["LABEL_0", "LABEL_1"], (0, 1)),
        (["neg", "pos"], ["0", "1"], (0, 1)),
        # A file's numbers in the order of its text are still the outputs' numbers.
        (
            ["0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"],
            ["x"] * 11,
            (0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9),
        ),
        (["neg", "pos"], ["LABEL_1", "LABEL_0"], None),
        (["neg", "pos"], ["bad", "good"], None),
        (["1", "2"], ["bad", "good"], None),
    ],
)
def test_by_number(labels: list[str], outputs: list[str], order: tuple[int, ...] | None) -> None:
    assert order_by_number(labels, outputs) == order


def one_hot(values_R: np.ndarray, num_labels: int) -> np.ndarray:
    return np.asarray(values_R[:, None] == np.arange(num_labels))


def answers(order: list[int], num_rows: int, right: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and answers that are right so often, but with the output of each label as `order` says."""
    rng = np.random.default_rng(seed)
    labels_R = rng.integers(0, len(order), num_rows)
    found_R = np.where(rng.random(num_rows) < right, labels_R, rng.integers(0, len(order), num_rows))
    return one_hot(labels_R, len(order)), one_hot(np.array(order)[found_R], len(order))


@pytest.mark.parametrize("order", [[1, 0], [2, 0, 1], [0, 2, 1, 3], [*range(75), 76, 75]])
def test_another_order_is_found_by_the_answers(order: list[int]) -> None:
    labels_RC, answers_RC = answers(order, 60 * len(order), right=0.9)
    assert better_order(labels_RC, answers_RC) == tuple(order)


@pytest.mark.parametrize("right", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("num_labels", [2, 5, 77])
@pytest.mark.parametrize("num_rows", [10, 100, 1000])
def test_the_order_as_it_is_stays_whatever_the_teacher_is_worth(
    right: float, num_labels: int, num_rows: int
) -> None:
    found = [better_order(*answers(list(range(num_labels)), num_rows, right, seed)) for seed in range(5)]
    assert found == [None] * 5


def test_several_labels_are_matched_one_by_one() -> None:
    rng = np.random.default_rng(0)
    labels_RC = rng.random((200, 3)) < 0.3
    assert better_order(labels_RC, labels_RC) is None
    assert better_order(labels_RC, labels_RC[:, [2, 0, 1]]) == (1, 2, 0)
