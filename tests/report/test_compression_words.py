"""Differences of scores in words."""

from dataclasses import dataclass
from typing import Any

import pytest

from pkd_core.report.compression.content import Gap
from pkd_core.report.compression.words import compared


@dataclass(frozen=True)
class Split:
    """As much of a compression as the words need."""

    split: str = "test"
    num_examples: int = 3080


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (0.0125, "1.2 points higher than before (38 of 3080 test examples; "),
        (-0.0125, "1.2 points lower than before (38 of 3080 test examples; "),
        (0.0003, "almost the same as before (1 of 3080 test examples; "),
        (-0.0003, "almost the same as before (1 of 3080 test examples; "),
        (0.0, "the same as before (95 % interval"),
    ],
)
def test_a_difference_is_never_of_no_points(difference: float, expected: str) -> None:
    gap = Gap(difference, -0.01, 0.01, round(difference * 3080), is_distinguishable=False)
    split: Any = Split()
    assert compared(gap, split, "before").startswith(expected)
