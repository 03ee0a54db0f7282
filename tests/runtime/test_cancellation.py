"""A wish to stop is heard at the next step, and until it is withdrawn nothing begins."""

import threading
from collections.abc import Iterator

import pytest

from pkd_core.runtime.cancellation import (
    InterruptibleObserver,
    StoppedError,
    ask_to_stop,
    check_wish,
    computing,
    wait_until_idle,
    withdraw,
)
from pkd_core.runtime.observer import LogObserver


@pytest.fixture(autouse=True)
def _no_wish() -> Iterator[None]:
    yield
    withdraw()


def test_progress_hears_the_wish_and_nothing_else_does() -> None:
    observer = InterruptibleObserver("RTE/teacher", LogObserver("RTE/teacher"))
    observer.progress(1, 10, "steps")
    ask_to_stop()
    observer.metrics(2, {"train/total": 0.5})
    observer.settle()
    with pytest.raises(StoppedError, match="RTE/teacher was stopped; the same command goes on from there"):
        observer.progress(2, 10, "steps")
    withdraw()
    observer.progress(3, 10, "steps")


def test_nothing_begins_while_the_wish_stands() -> None:
    check_wish("RTE/tokens")
    ask_to_stop()
    with pytest.raises(StoppedError):
        check_wish("RTE/tokens")


def test_waiting_until_idle_waits_for_every_stage() -> None:
    wait_until_idle()
    idle = threading.Event()
    waiting = threading.Thread(target=lambda: (wait_until_idle(), idle.set()))
    with pytest.raises(ValueError, match="broke"), computing():
        with computing():
            waiting.start()
        assert not idle.wait(0.1)
        raise ValueError("broke")
    assert idle.wait(10)
