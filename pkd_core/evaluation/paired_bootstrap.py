"""Whether one method scores better than another: a bootstrap over the same dev examples, and over seeds.

The models of two methods answer the same examples, so their difference varies less than either score: both are scored
on the same resample of examples (Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"), and
each method's seeds are drawn with replacement too. Shape suffixes: S seeds, R examples, N resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from pkd_core.evaluation.resampled_scores import resampled_scores

Array = np.ndarray[Any, Any]

_NUM_RESAMPLES = 4000
_ROWS_AT_ONCE = 250
_LEVEL = 0.95
_SEED = 0


@dataclass(frozen=True)
class Answers:
    """What the models of one method answered to the same labelled examples.

    Attributes:
        labels_R: Class positions or scores; of several labels, 0 or 1 for each, shape (R, C).
        predictions_SR: In the form of the labels, for each seed.
        num_classes: C; 1 for a regression.
    """

    labels_R: Array
    predictions_SR: Array
    num_classes: int


@dataclass(frozen=True)
class Difference:
    """The first method's mean score minus the second's.

    Attributes:
        first: A method's name.
        second: Another's.
        difference: Of the means over seeds, as a fraction.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: Twice the part of resamples on the other side of 0, at least 1 / (N + 1).
        corrected: The p-value after Holm's correction for all pairs that were compared.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    corrected: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether the difference is hardly chance, all comparisons considered."""
        return self.corrected < 1 - _LEVEL


def compare_methods(answers: Mapping[str, Answers], metric: str) -> list[Difference]:
    """Compare every two methods.

    With one seed a method, the interval says nothing of how far another seed may lie.

    Args:
        answers: By method, all to the same examples in the same order.
        metric: Name of the score, as `compute_metrics` knows it.

    Returns:
        The pairs in the order of the methods. The same answers give the same numbers.
    """
    if len(answers) < 2:
        return []
    num_examples = len(next(iter(answers.values())).labels_R)
    resampled = _resample(answers, metric)
    means = {
        name: float(_scores(one, metric, np.ones((1, num_examples))).mean()) for name, one in answers.items()
    }
    pairs = list(combinations(answers, 2))
    differences_N = [resampled[first] - resampled[second] for first, second in pairs]
    p_values = [_p_value(values_N) for values_N in differences_N]
    return [
        Difference(first, second, means[first] - means[second], *_interval(values_N), p_value, corrected)
        for (first, second), values_N, p_value, corrected in zip(
            pairs, differences_N, p_values, holm(p_values), strict=True
        )
    ]


def score_interval(answers: Answers, metric: str) -> tuple[float, float]:
    """Return the ends of the 95 % interval of one method's mean score, over examples and seeds.

    Args:
        answers: The method's.
        metric: Name of the score, as `compute_metrics` knows it.
    """
    return _interval(_resample({"": answers}, metric)[""])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the same order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(np.argsort(p_values, kind="stable").tolist()):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = running
    return corrected


def _resample(answers: Mapping[str, Answers], metric: str) -> dict[str, Array]:
    """Return each method's mean score on each of the same resamples, shape (N,)."""
    generator = np.random.default_rng(_SEED)
    num_examples = len(next(iter(answers.values())).labels_R)
    chances = np.full(num_examples, 1 / num_examples)
    scores: dict[str, list[Array]] = {name: [] for name in answers}
    for start in range(0, _NUM_RESAMPLES, _ROWS_AT_ONCE):
        num_rows = min(_ROWS_AT_ONCE, _NUM_RESAMPLES - start)
        counts_NR = generator.multinomial(num_examples, chances, size=num_rows)
        for name, one in answers.items():
            scores[name].append(_mean_scores(one, metric, counts_NR, generator))
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def _scores(answers: Answers, metric: str, counts_NR: Array) -> Array:
    """Return each seed's score on each resample, shape (S, N)."""
    return np.stack(
        [
            resampled_scores(metric, answers.labels_R, predictions_R, counts_NR, answers.num_classes)
            for predictions_R in answers.predictions_SR
        ]
    )


def _mean_scores(answers: Answers, metric: str, counts_NR: Array, generator: np.random.Generator) -> Array:
    """Return the mean score of each resample over seeds that are drawn with replacement, shape (N,)."""
    scores_SN = _scores(answers, metric, counts_NR)
    num_seeds, num_rows = scores_SN.shape
    drawn_SN = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_rows).T
    return np.asarray((scores_SN * drawn_SN).sum(axis=0) / num_seeds)


def _interval(differences_N: Array) -> tuple[float, float]:
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(differences_N, [tail, 1 - tail]).tolist()
    return low, high


def _p_value(differences_N: Array) -> float:
    on_the_other_side = min((differences_N <= 0).sum(), (differences_N >= 0).sum())
    return float(min(1.0, 2 * (on_the_other_side + 1) / (len(differences_N) + 1)))
