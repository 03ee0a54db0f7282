"""A request to stop: set once for the whole process, checked by whatever computes at its next step."""

import threading
from collections.abc import Callable, Mapping

from pkd_core.errors import PkdError
from pkd_core.runtime.observer import Observer

_stop_requested = threading.Event()


class StoppedError(PkdError):
    """A stop was requested; what is done is kept, and the same command continues from there."""


def request_stop() -> None:
    """End every stage of this process at its next step, and let none begin."""
    _stop_requested.set()


def clear_stop_request() -> None:
    """Withdraw the request, for a process that continues with something else."""
    _stop_requested.clear()


def is_stop_requested() -> bool:
    """Return whether a stop was requested."""
    return _stop_requested.is_set()


def check_stop_requested(name: str) -> None:
    """Do nothing, unless a stop was requested.

    Args:
        name: What would continue, such as "RTE/teacher".

    Raises:
        StoppedError: A stop was requested.
    """
    if _stop_requested.is_set():
        raise StoppedError(f"{name} was stopped; the same command goes on from there.")


class CancellableObserver:
    """Forwards everything to another observer, and checks before each report of progress whether to stop.

    Args:
        name: What is computed, such as "RTE/teacher".
        observer: Receives what is forwarded.
        check: Called before each report of progress; raises if it is in vain to go on.
    """

    def __init__(self, name: str, observer: Observer, check: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._observer = observer
        self._check = check

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Forward metric values."""
        self._observer.metrics(step, values)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Forward progress.

        Raises:
            StoppedError: A stop was requested.
            PkdError: From `check`.
        """
        self._check()
        # What stops a run may have ended the server that shows progress, too.
        check_stop_requested(self._name)
        self._observer.progress(done, total, unit)

    def flush(self) -> None:
        """Forward the flush."""
        self._observer.flush()
