"""A wish to stop, told to whatever computes in this process and heard at its next step."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pkd_core.errors import PkdError
from pkd_core.runtime.observer import Observer

_wish = threading.Event()
_change = threading.Condition()
# One entry a stage that is being computed.
_computing: list[None] = []


class StoppedError(PkdError):
    """Someone asked to stop; what is done is kept, and the same command goes on from there."""


def request_stop() -> None:
    """Let every stage of this process end at its next step, and none begin."""
    _wish.set()


def clear_stop_request() -> None:
    """Forget the wish: for a process that goes on to something else."""
    _wish.clear()


@contextmanager
def computing() -> Iterator[None]:
    """Mark that a stage is being computed for as long as the body runs."""
    with _change:
        _computing.append(None)
    try:
        yield
    finally:
        with _change:
            _computing.pop()
            _change.notify_all()


def wait_until_idle() -> None:
    """Wait until no stage of this process is being computed."""
    with _change:
        _change.wait_for(lambda: not _computing)


def check_stop_requested(name: str) -> None:
    """Do nothing, unless someone asked to stop.

    Args:
        name: What would be going on, such as "RTE/teacher".

    Raises:
        StoppedError: Someone did.
    """
    if _wish.is_set():
        raise StoppedError(f"{name} was stopped; the same command goes on from there.")


class InterruptibleObserver:
    """Passes everything on, and before each report of progress checks whether to stop."""

    def __init__(self, name: str, observer: Observer) -> None:
        self._name = name
        self._observer = observer

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Pass metric values on."""
        self._observer.metrics(step, values)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Pass progress on.

        Raises:
            StoppedError: Someone asked to stop.
        """
        # What stops a run may have ended the server that shows progress, too.
        check_stop_requested(self._name)
        self._observer.progress(done, total, unit)

    def flush(self) -> None:
        """Pass it on."""
        self._observer.flush()
