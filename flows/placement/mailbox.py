"""Brings what workers report to the process of the run: through one small Ray actor, which nobody waits for."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from pkd_core.errors import PkdError
from pkd_core.runtime.observer import Observer
from tasks.progress import ShowStage
from tasks.reports import Begun, Ended, Logged, Progressed, Report

logger = logging.getLogger(__name__)
_MAX_WAITING = 10_000


class Mailbox:
    """Keeps reports until they are fetched; a Ray actor."""

    def __init__(self) -> None:
        self._reports: list[Report] = []

    def put(self, report: Report) -> None:
        """Keep a report; the oldest are dropped where nobody fetches them."""
        self._reports = [*self._reports[-_MAX_WAITING:], report]

    def take(self) -> list[Report]:
        """Return what was not fetched yet."""
        taken, self._reports = self._reports, []
        return taken


@dataclass(frozen=True)
class PutInMailbox:
    """Sends reports, as tasks.reports.Send, without waiting; one that cannot be sent is dropped.

    Attributes:
        mailbox: Handle of the actor.
    """

    mailbox: Any = field(repr=False)

    def __call__(self, report: Report) -> None:
        """Send a report."""
        import ray

        with suppress(ray.exceptions.RayError):
            self.mailbox.put.remote(report)


class Viewed:
    """Shows the stages of all workers in the process of the run, from their reports.

    Args:
        show: Shows one stage while it is being built.
    """

    def __init__(self, show: ShowStage) -> None:
        self._show = show
        self._open: dict[str, tuple[ExitStack, Observer]] = {}

    def take(self, report: Report) -> None:
        """Show a report."""
        match report:
            case Begun(key) if key in self._open:
                logger.warning("%s: its worker process died; it goes on in another", key)
            case Begun(key):
                stack = ExitStack()
                self._open[key] = (stack, stack.enter_context(self._show(key)))
            case Progressed(key, done, total, unit, metrics):
                self._progress(key, done, total, unit, metrics)
            case Ended(key, failure):
                self._end(key, failure)
            case Logged(name, level, message):
                logging.getLogger(name).log(level, "%s", message)

    def end_all(self, failure: str) -> None:
        """Show that the stages that have not ended have failed."""
        for key in list(self._open):
            self._end(key, failure)

    def _progress(self, key: str, done: int, total: int, unit: str, metrics: Mapping[str, float]) -> None:
        if key in self._open:
            _, observer = self._open[key]
            observer.metrics(done, metrics)
            observer.progress(done, total, unit)

    def _end(self, key: str, failure: str | None) -> None:
        stack, _ = self._open.pop(key, (ExitStack(), None))
        error = None if failure is None else PkdError(failure)
        with suppress(PkdError):
            stack.__exit__(type(error) if error else None, error, None)
