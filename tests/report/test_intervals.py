"""Wilson's interval, compared with scipy's and with published numbers."""

import pytest
from scipy.stats import binomtest

from pkd_core.report.intervals import wilson_interval


@pytest.mark.parametrize(
    ("right", "number"), [(0, 1), (1, 1), (0, 277), (277, 277), (180, 277), (1, 40_430), (36_365, 40_430)]
)
def test_the_interval_is_scipys(right: int, number: int) -> None:
    expected = binomtest(right, number).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(right / number, number) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("right", "number", "expected"),
    [(81, 263, (0.2553, 0.3662)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_the_interval_is_that_of_newcombes_table(
    right: int, number: int, expected: tuple[float, float]
) -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    assert wilson_interval(right / number, number) == pytest.approx(expected, abs=5e-5)
