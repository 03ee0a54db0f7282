"""Every metric value of a training: kept in its checkpoints, and published beside its model."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pkd_core.runtime.observer import Observer

METRICS_FILE = "metrics.jsonl"
Point = tuple[int, dict[str, float]]


class MetricHistory:
    """An observer that keeps every metric value and forwards it.

    Attributes:
        points: The step, from 1, and its values by metric name, in the order in which they were received.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.points: list[Point] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep and forward metric values."""
        self.points.append((step, dict(values)))
        self._observer.metrics(step, values)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Forward progress."""
        self._observer.progress(done, total, unit)

    def flush(self) -> None:
        """Forward the request."""
        self._observer.flush()


def write_metrics(folder: Path, points: list[Point]) -> None:
    """Write `metrics.jsonl`: a JSON object a line, with the step and its values."""
    lines = [json.dumps({"step": step, **values}) for step, values in points]
    (folder / METRICS_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_metrics(folder: Path) -> Iterator[Point]:
    """Yield the points of a published training; none if it was published before there was such a file."""
    path = folder / METRICS_FILE
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                values = json.loads(line)
                yield values.pop("step"), values
