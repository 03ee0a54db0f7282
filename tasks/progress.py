"""Shows a stage's progress in the log and, as a progress bar, on Prefect's page."""

import re
import time
from collections.abc import Mapping
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import LogObserver

_SECONDS_BETWEEN_UPDATES = 5.0


class ProgressObserver:
    """Writes log lines and keeps one progress artifact up to date; takes no notice of metrics."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._log = LogObserver(stage.key)
        self._artifact: UUID | None = None
        self._last_update = time.monotonic()
        self._shown = 0.0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Drop the values."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Pass the progress on when the last time is some seconds ago, and at the end of what was begun."""
        self._log.progress(done, total, unit)
        now = time.monotonic()
        percent = 100.0 * done / max(total, 1)
        is_last = done >= total and self._artifact is not None and self._shown < percent
        if now - self._last_update < _SECONDS_BETWEEN_UPDATES and not is_last:
            return
        self._last_update, self._shown = now, percent
        if self._artifact is None:
            # Prefect's keys know only small letters, digits and dashes.
            key = re.sub(r"[^a-z0-9]+", "-", self._stage.key.lower())
            made = create_progress_artifact(percent, key=key, description=f"{self._stage.key}, {unit}")
            assert isinstance(made, UUID), "a coroutine comes only inside an event loop"
            self._artifact = made
        else:
            update_progress_artifact(self._artifact, percent)

    def flush(self) -> None:
        """Do nothing: progress is told anew."""
