"""Who is right where, against an independent count, and McNemar's exact test against its formula."""

from math import comb

import numpy as np
import pytest
from scipy.special import softmax

from pkd_core.evaluation.agreement import Agreement, count_agreement, probabilities


def test_the_counts_are_those_of_the_examples_one_by_one() -> None:
    generator = np.random.default_rng(0)
    gold, first, second = generator.integers(0, 3, (3, 500))
    counts = {(right, other): 0 for right in (True, False) for other in (True, False)}
    for label, one, other in zip(gold.tolist(), first.tolist(), second.tolist(), strict=True):
        counts[one == label, other == label] += 1
    found = count_agreement(gold, first, second)
    assert found == Agreement(
        counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    )
    assert len(set(counts.values())) == 4


@pytest.mark.parametrize(("only_first", "only_second"), [(9, 2), (2, 9), (5, 5), (1, 0), (0, 12), (40, 61)])
def test_mcnemars_p_is_twice_the_smaller_binomial_tail(only_first: int, only_second: int) -> None:
    num_one, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(num_one, count) for count in range(fewer + 1)) / 2**num_one
    found = Agreement(7, only_first, only_second, 3).p_value
    assert found == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


def test_models_that_are_right_on_the_same_examples_cannot_be_told_apart() -> None:
    assert Agreement(5, 0, 0, 5).p_value == 1.0


def test_probabilities_are_a_softmax_of_any_size() -> None:
    logits = np.array([[1.0, 3.0, -2.0], [1000.0, 999.0, -1000.0]])
    np.testing.assert_allclose(probabilities(logits), softmax(logits, axis=1))
