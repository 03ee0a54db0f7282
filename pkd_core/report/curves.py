"""The courses of trainings: each metric of a method and depth over its steps, as a mean over seeds and a few steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

Point = tuple[float, float]

_NUM_BINS = 80
_LOSSES = "train/"
_TOTAL = "train/total"
# Recorded beside the losses of a step.
_NO_LOSS = "train/learning_rate"


@dataclass(frozen=True)
class Curves:
    """The courses of one method and depth of a task.

    Attributes:
        task: Task name.
        method: The method, or "teacher".
        num_layers: Depth.
        points: Steps and values by metric name, such as "train/patience".
    """

    task: str
    method: str
    num_layers: int
    points: Mapping[str, Sequence[Point]]


def mean_curves(
    histories: Sequence[Iterable[tuple[int, Mapping[str, float]]]], selection: str
) -> dict[str, list[Point]]:
    """Return the loss parts and a dev score of several seeds as one curve each.

    Losses of single batches are noisy: those of neighbouring steps, and of all seeds, become one mean.

    Args:
        histories: What `read_metrics` yields, for each seed.
        selection: Name of the dev score.

    Returns:
        Points by metric name: the total, its parts in the order in which they were recorded, the dev score.
    """
    values: dict[str, list[tuple[int, float]]] = {}
    for history in histories:
        for step, named in history:
            for name, value in named.items():
                values.setdefault(name, []).append((step, value))
    parts = [name for name in values if name.startswith(_LOSSES) and name not in (_TOTAL, _NO_LOSS)]
    return {name: _binned(values[name]) for name in (_TOTAL, *parts, selection) if name in values}


def _binned(values: Sequence[tuple[int, float]]) -> list[Point]:
    last = max(step for step, _ in values)
    bins: dict[int, list[tuple[int, float]]] = {}
    for step, value in values:
        bins.setdefault(min(step * _NUM_BINS // (last + 1), _NUM_BINS - 1), []).append((step, value))
    return [
        (fmean(step for step, _ in members), fmean(value for _, value in members))
        for _, members in sorted(bins.items())
    ]
