"""How a running stage reports metrics and progress, to whoever observes it."""

import logging
import time
from collections.abc import Mapping
from typing import Protocol

from pkd_core.runtime.progress import Progress

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 5.0


class Observer(Protocol):
    """Receives a running stage's metrics and progress."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Receive metric values, such as {"train/total": 0.3}, at an optimizer step counted from 1."""
        ...

    def progress(self, done: int, total: int, unit: str) -> None:
        """Receive how much is done, such as (640, 2490, "examples")."""
        ...

    def flush(self) -> None:
        """Store the metrics received so far: a checkpoint follows, from which they are not reported again."""
        ...


class LogObserver:
    """Writes progress to the log every few seconds, with the last loss and dev score.

    Args:
        name: What the lines begin with, such as "RTE/teacher".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_line = time.monotonic()
        self._progress = Progress()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values for the next line."""
        self._progress.add_metrics(values)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Write a line, unless the last one is only some seconds old."""
        now = time.monotonic()
        self._progress.update(done, total, unit, now)
        if now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            logger.info("%s: %s", self._name, self._progress.describe())

    def flush(self) -> None:
        """Do nothing: no metrics are kept."""
