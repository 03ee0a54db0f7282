"""A requested stop ends stages at their next step, and none begins until the request is cleared."""

from collections.abc import Iterator

import pytest

from pkd_core.runtime.cancellation import (
    CancellableObserver,
    StoppedError,
    check_stop_requested,
    clear_stop_request,
    request_stop,
)
from pkd_core.runtime.observer import LogObserver


@pytest.fixture(autouse=True)
def _clear() -> Iterator[None]:
    yield
    clear_stop_request()


def test_a_requested_stop_is_raised_by_progress_alone() -> None:
    observer = CancellableObserver("RTE/teacher", LogObserver("RTE/teacher"))
    observer.progress(1, 10, "steps")
    request_stop()
    observer.metrics(2, {"train/total": 0.5})
    observer.flush()
    with pytest.raises(StoppedError, match="RTE/teacher was stopped; the same command goes on from there"):
        observer.progress(2, 10, "steps")
    clear_stop_request()
    observer.progress(3, 10, "steps")


def test_nothing_begins_while_a_stop_is_requested() -> None:
    check_stop_requested("RTE/tokens")
    request_stop()
    with pytest.raises(StoppedError):
        check_stop_requested("RTE/tokens")


def test_a_requested_stop_does_not_wait_for_what_shows_progress() -> None:
    class Gone(LogObserver):
        def progress(self, done: int, total: int, unit: str) -> None:
            raise AssertionError("its server is gone")

    request_stop()
    with pytest.raises(StoppedError):
        CancellableObserver("RTE/teacher", Gone("RTE/teacher")).progress(1, 10, "steps")
