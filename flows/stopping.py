"""Stops a run at Ctrl-C or SIGTERM: at the next step while stages compute; before, after, or asked twice, at once."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import typer

from pkd_core.runtime.cancellation import clear_stop_request, request_stop, wait_until_idle

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_END = 3.0
Handler = Callable[[int, FrameType | None], None]


@dataclass
class _Process:
    """What the system tells this process, not a flow.

    Attributes:
        is_ours: Whether a signal may end it: it runs `pkd`, and no notebook or deployment.
        received: The signal that the flow was asked to stop by.
    """

    is_ours: bool = False
    received: int | None = None


_process = _Process()


@contextmanager
def ending_at_signals() -> Iterator[None]:
    """End the whole process at once when a signal comes while the body runs.

    Nothing is lost by it: what is published is whole, work folders stay to be resumed, the kernel frees the locks, and
    the next run of a stage settles what MLflow still calls running.
    """
    _process.is_ours = True
    with _handling(_end):
        yield


@contextmanager
def stopping_at_signals() -> Iterator[None]:
    """Ask this process's stages to stop when a signal comes while the body runs; a second one ends the process.

    To be entered inside a flow: Prefect has a handler of its own there, which would break off in the middle.
    """
    _process.received = None
    try:
        with _handling(_stop):
            yield
    finally:
        clear_stop_request()


def received_signal() -> int | None:
    """Return the signal that the last flow of this process was asked to stop by, if it was."""
    return _process.received


def redeliver(number: int) -> None:
    """Leave a signal to Prefect if a deployment is running: it may be a cancellation, which Prefect notes as such."""
    if not _process.is_ours:
        os.kill(os.getpid(), number)


def say_stopped(number: int) -> int:
    """Say how to go on, and return the exit status for the signal."""
    typer.echo("pkd: stopped; what is done stays done, and the same command goes on from there.", err=True)
    return 128 + number


@contextmanager
def _handling(handler: Handler) -> Iterator[None]:
    # Only the main thread may set handlers; a flow that runs in another is stopped by whoever runs it.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _stop(number: int, frame: FrameType | None) -> None:
    if _process.received is not None:
        _end(number, frame)
    _process.received = number
    typer.echo("\npkd: stopping at the next step; again to end at once.", err=True)
    request_stop()
    if _process.is_ours:
        # A terminal sends Ctrl-C to Prefect's server as well; that the flow cannot reach it any more is no news.
        logging.getLogger("prefect").setLevel(logging.CRITICAL + 1)
        threading.Thread(target=_end_when_idle, args=(number,), daemon=True).start()


def _end_when_idle(number: int) -> None:
    """End the process some seconds after its stages have stopped, should the flow still wait for its server then."""
    wait_until_idle()
    time.sleep(_SECONDS_TO_END)
    _end(number, None)


def _end(number: int, _frame: FrameType | None) -> None:
    from prefect.server.api.server import SubprocessASGIServer

    status = say_stopped(number)
    SubprocessASGIServer().stop()
    os._exit(status)
