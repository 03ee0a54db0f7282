"""Shows a stage's progress on Prefect's page, as a progress bar, and wherever else its run shows it."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import LogObserver, Observer

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_UPDATES = 5.0

# Opens an observer that shows a stage, by the stage's key, while it is being built.
ShowStage = Callable[[str], AbstractContextManager[Observer]]


@contextmanager
def show_in_log(key: str) -> Iterator[Observer]:
    """Show a stage by log lines."""
    yield LogObserver(key)


class ProgressObserver:
    """Keeps one progress artifact up to date, and forwards everything to another observer.

    A stage continues without its progress bar when Prefect's server fails.
    """

    def __init__(self, stage: Stage, shown: Observer) -> None:
        self._stage = stage
        self._shown_by = shown
        self._artifact: UUID | None = None
        self._last_update = time.monotonic()
        self._shown = 0.0
        self._server_failed = False

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Forward the values."""
        self._shown_by.metrics(step, values)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Show progress if the last update is some seconds old, and at the end of what has a progress bar."""
        self._shown_by.progress(done, total, unit)
        now = time.monotonic()
        percent = 100.0 * done / max(total, 1)
        is_last = done >= total and self._artifact is not None and self._shown < percent
        if self._server_failed or (now - self._last_update < _SECONDS_BETWEEN_UPDATES and not is_last):
            return
        self._last_update, self._shown = now, percent
        try:
            self._show(percent, unit)
        except httpx.HTTPError as error:
            # Prefect has retried for a minute already.
            self._server_failed = True
            logger.warning("%s: no progress bar, as Prefect's server fails: %s", self._stage.key, error)

    def flush(self) -> None:
        """Forward the flush."""
        self._shown_by.flush()

    def _show(self, percent: float, unit: str) -> None:
        if self._artifact is not None:
            update_progress_artifact(self._artifact, percent)
            return
        # Prefect's keys allow only lower-case letters, digits and dashes.
        key = re.sub(r"[^a-z0-9]+", "-", self._stage.key.lower()).strip("-")
        created = create_progress_artifact(percent, key=key, description=f"{self._stage.key}, {unit}")
        assert isinstance(created, UUID), "a coroutine is returned only inside an event loop"
        self._artifact = created
