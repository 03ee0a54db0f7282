"""What a worker process reports of its stage to the process of the run: progress, metrics, log lines, how it ended."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pkd_core.runtime.observer import LogObserver, Observer

_SECONDS_BETWEEN_REPORTS = 0.5
_OURS = ("pkd_core", "tasks", "flows")
# The process of the run makes these lines of the progress that it gets.
_PROGRESS_LINES = "pkd_core.runtime.observer"


@dataclass(frozen=True)
class Begun:
    """A stage is being built."""

    key: str


@dataclass(frozen=True)
class Progressed:
    """How far a stage is, and the last metric values since its last report."""

    key: str
    done: int
    total: int
    unit: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Ended:
    """A stage is built, or has failed for a reason."""

    key: str
    failure: str | None


@dataclass(frozen=True)
class Logged:
    """A line of our own log."""

    logger: str
    level: int
    message: str


Report = Begun | Progressed | Ended | Logged
# Sends a report without waiting for its arrival, and never fails.
Send = Callable[[Report], None]


@dataclass(frozen=True)
class ReportingShow:
    """Shows stages, as ShowStage, by sending reports.

    Attributes:
        send: Sends a report.
    """

    send: Send = field(repr=False)

    @contextmanager
    def __call__(self, key: str) -> Iterator[Observer]:
        """Report a stage while it is being built, and how it ended."""
        self.send(Begun(key))
        reporter, failure = _Reporter(key, self.send), None
        try:
            yield reporter
        except Exception as error:
            failure = str(error)
            raise
        finally:
            reporter.send_report()
            self.send(Ended(key, failure))


class _Reporter:
    """Reports a stage's progress some times a second, and writes it to the log that Prefect's page shows."""

    def __init__(self, key: str, send: Send) -> None:
        self._send = send
        self._log = LogObserver(key)
        self._unsent = Progressed(key, 0, 0, "", {})
        self._last = 0.0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values for the next report."""
        self._log.metrics(step, values)
        self._unsent = replace(self._unsent, metrics={**self._unsent.metrics, **values})

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report progress, unless the last report is not half a second old."""
        self._log.progress(done, total, unit)
        self._unsent = replace(self._unsent, done=done, total=total, unit=unit)
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_REPORTS:
            self.send_report()

    def send_report(self) -> None:
        """Report what was not reported yet, if there was anything at all."""
        self._last = time.monotonic()
        if self._unsent.total:
            self._send(self._unsent)
        self._unsent = replace(self._unsent, metrics={})

    def flush(self) -> None:
        """Do nothing: what is kept is only shown."""


class _ReportingHandler(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _PROGRESS_LINES:
            self._send(Logged(record.name, record.levelno, record.getMessage()))


@contextmanager
def reporting_log(send: Send) -> Iterator[None]:
    """Report our own log lines of this process while the body runs."""
    handler = _ReportingHandler(send)
    for name in _OURS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in _OURS:
            logging.getLogger(name).removeHandler(handler)
