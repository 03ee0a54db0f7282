"""How far a score on few examples may lie from that on many."""

from math import sqrt
from statistics import NormalDist

_CONFIDENCE = 0.95


def wilson_interval(fraction: float, number: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a fraction that was observed on some examples.

    In contrast to `sqrt(p (1 - p) / n)` it stays within 0 and 1, and does not vanish for a perfect score.

    >>> low, high = wilson_interval(1.0, 277)
    >>> round(low, 4), high
    (0.9863, 1.0)

    Args:
        fraction: From 0 to 1.
        number: Of examples, at least 1.
    """
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    scale = 1 + z**2 / number
    middle = (fraction + z**2 / (2 * number)) / scale
    half = z * sqrt(fraction * (1 - fraction) / number + z**2 / (4 * number**2)) / scale
    # Rounding would leave the range of fractions by 1e-16.
    return max(middle - half, 0.0), min(middle + half, 1.0)
