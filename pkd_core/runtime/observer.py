"""How a running stage reports metrics and progress, to whoever observes it."""

import logging
import time
from collections.abc import Mapping
from typing import Protocol

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
    """Writes progress to the log every few seconds, and drops the metrics.

    Args:
        name: What the lines begin with, such as "RTE/teacher".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_line = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Drop the values."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Write a line, unless the last one is only some seconds old."""
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            logger.info(
                "%s: %d of %d %s (%.0f %%)", self._name, done, total, unit, 100 * done / max(total, 1)
            )

    def flush(self) -> None:
        """Do nothing: no metrics are kept."""
