"""What a search has tried and chosen: points with their scores over seeds, and each method's best settings on dev.

A score is a fraction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

# The mean of the same scores in another order may differ in its last bit.
_DIGITS = 12


@dataclass(frozen=True)
class TriedPoint:
    """Settings that were tried.

    Attributes:
        settings: Values by dotted key.
        scores: The selecting score by seed.
    """

    settings: Mapping[str, Any]
    scores: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return round(fmean(self.scores.values()), _DIGITS)

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the seeds; None for one seed."""
        return stdev(self.scores.values()) if len(self.scores) > 1 else None


@dataclass(frozen=True)
class TriedRound:
    """The points of one method.

    Attributes:
        method: "teacher" or a student's method.
        kept: What earlier rounds had chosen for it, by dotted key.
        points: At least one, in the order in which they were tried.
    """

    method: str
    kept: Mapping[str, Any]
    points: tuple[TriedPoint, ...]

    @property
    def ranked(self) -> list[TriedPoint]:
        """The points by mean, the best first, and of equal ones the first that was tried; what lacks a seed is last."""
        return sorted(self.points, key=lambda point: (-len(point.scores), -point.mean))

    @property
    def complete(self) -> list[TriedPoint]:
        """The ranked points that have all seeds."""
        num_seeds = max(len(point.scores) for point in self.points)
        return [point for point in self.ranked if len(point.scores) == num_seeds]

    @property
    def best(self) -> TriedPoint:
        """The point with the highest mean; of equal ones, the first. One that lacks a seed is not taken."""
        return self.ranked[0]

    @property
    def settings(self) -> dict[str, Any]:
        """All that was chosen for the method: by earlier rounds and by this one."""
        return {**self.kept, **self.best.settings}

    @property
    def searched(self) -> list[str]:
        """The settings with several values, in order."""
        values: dict[str, set[Any]] = {}
        for point in self.points:
            for key, value in point.settings.items():
                values.setdefault(key, set()).add(value)
        return [key for key, found in values.items() if len(found) > 1]

    def num_near_best(self, standard_error: float) -> int:
        """Return how many other points score within a standard error of the best."""
        return sum(self.best.mean - point.mean <= standard_error for point in self.complete) - 1


@dataclass(frozen=True)
class FinalScore:
    """A method with its best settings, trained on all of train.

    Attributes:
        method: "teacher" or a student's method.
        settings: All that was chosen for it.
        scores: The dev score by seed; the teacher's has no seed of a run, and is under 0.
        command: The command that repeats it; empty for the teacher.
    """

    method: str
    settings: Mapping[str, Any]
    scores: Mapping[int, float]
    command: str

    @property
    def point(self) -> TriedPoint:
        """Its settings with its scores."""
        return TriedPoint(self.settings, self.scores)


@dataclass(frozen=True)
class HeldOut:
    """The part of the training rows that was chosen by."""

    fraction: float
    seed: int


@dataclass(frozen=True)
class SearchResult:
    """A whole search.

    Attributes:
        task: Task name.
        num_layers: The students' depth.
        metric: The selecting score, such as "accuracy".
        held_out: What was chosen by; None if it was dev.
        num_chosen_by: Examples that it was chosen by.
        num_dev: Dev examples.
        sampler: "grid" or "tpe".
        rounds: What was tried.
        finals: The teacher, and each method with its best settings.
    """

    task: str
    num_layers: int
    metric: str
    held_out: HeldOut | None
    num_chosen_by: int
    num_dev: int
    sampler: str
    rounds: tuple[TriedRound, ...]
    finals: tuple[FinalScore, ...]

    @property
    def num_points(self) -> int:
        """How many settings were compared."""
        return sum(len(one.points) for one in self.rounds)

    @property
    def winner(self) -> FinalScore:
        """The method whose best point scored highest on the examples that were chosen by."""
        methods = [one.method for one in self.finals]
        best = best_round([one for one in self.rounds if one.method in methods])
        return next(one for one in self.finals if one.method == best.method)

    def standard_error(self, score: float) -> float | None:
        """Return how far an accuracy on the examples that were chosen by is uncertain; None for other metrics."""
        if self.metric != "accuracy":
            return None
        return sqrt(score * (1 - score) / self.num_chosen_by)


def best_round(rounds: Sequence[TriedRound]) -> TriedRound:
    """Return the round with the best student; of equal ones, the first."""
    return max((one for one in rounds if one.method != "teacher"), key=lambda one: one.best.mean)
