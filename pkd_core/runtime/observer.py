"""How a running stage tells of itself, without knowing who listens."""

import logging
import time
from collections.abc import Mapping
from typing import Protocol

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 5.0


class Observer(Protocol):
    """Receives a running stage's metrics and progress."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Take metric values, such as {"train/total": 0.3}, at an optimizer step counted from 1."""
        ...

    def progress(self, done: int, total: int, unit: str) -> None:
        """Take how much is done, such as (640, 2490, "examples")."""
        ...

    def flush(self) -> None:
        """Keep for good what was told so far: a checkpoint is about to be made, from which it is not told again."""
        ...


class LogObserver:
    """Writes progress to the log every few seconds, and drops the metrics.

    Args:
        name: What the lines begin with, such as "RTE teacher".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_line = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Drop the values."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Write a line when the last one is some seconds old."""
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            logger.info(
                "%s: %d of %d %s (%.0f %%)", self._name, done, total, unit, 100 * done / max(total, 1)
            )

    def flush(self) -> None:
        """Do nothing: a line that is written is kept."""
