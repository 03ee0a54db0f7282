"""Whether a model's scores are in the unit of the labels."""

import numpy as np
import pytest

from pkd_core.evaluation.score_unit import is_other_unit

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.normal(3.0, 1.0, 200)
NOISE = GENERATOR.normal(0.0, 1.0, 200)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (LABELS + 0.3 * NOISE, False),
        (20 * (LABELS + 0.3 * NOISE), True),
        (LABELS / 5 + 0.05 * NOISE, True),
        ((LABELS - 3) / 1 + 0.3 * NOISE, True),
        (-LABELS + 0.3 * NOISE, True),
        (LABELS + 1.5 * NOISE, False),
        (NOISE, False),
        (np.full(200, 7.0), False),
    ],
    ids=["good", "hundred", "fifth", "standardised", "reversed", "poor", "chance", "constant"],
)
def test_answers_that_follow_the_labels_elsewhere_are_in_another_unit(
    answers: np.ndarray, expected: bool
) -> None:
    assert is_other_unit(LABELS, answers) is expected


def test_of_few_examples_or_equal_labels_nothing_is_concluded() -> None:
    assert is_other_unit(LABELS[:20], 9 * LABELS[:20])
    assert not is_other_unit(LABELS[:19], 9 * LABELS[:19])
    assert not is_other_unit(np.full(200, 2.0), LABELS)
