"""Stops a run at Ctrl-C or SIGTERM: at the next step while stages compute; else, or at a second signal, at once."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import typer

from pkd_core.runtime.cancellation import clear_stop_request, request_stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_RECORD = 3.0
Handler = Callable[[int, FrameType | None], None]


@dataclass
class _Process:
    """State of this process that outlives a flow.

    Attributes:
        is_ours: Whether a signal may end it: it runs `pkd`, and no notebook or deployment.
        received: The signal that stopped the last flow.
        deadline: Ends the process if Prefect does not record the stopped flow in time.
        close: Gives the terminal back, where bars are shown on it.
    """

    is_ours: bool = False
    received: int | None = None
    deadline: threading.Timer | None = None
    close: Callable[[], None] | None = None


_process = _Process()


@contextmanager
def ending_at_signals() -> Iterator[None]:
    """End the process at once when a signal comes while the body runs.

    Nothing is lost by it: what is published is complete, work folders stay to be resumed, the kernel frees the locks,
    and the next run of a stage ends the MLflow run that this one leaves open.
    """
    _process.is_ours = True
    try:
        with _handling(_end):
            yield
    finally:
        _process.is_ours = False


@contextmanager
def stopping_at_signals() -> Iterator[None]:
    """Stop this process's stages at their next step when a signal comes while the body runs; end at a second one.

    To be entered inside a flow, where Prefect's own handler would raise in the middle of a step.
    """
    _process.received = None
    try:
        with _handling(_stop):
            yield
    finally:
        clear_stop_request()
        if _process.is_ours and _process.received is not None:
            # If the server has ended too, as when the machine shuts down, Prefect would retry for a minute to reach it.
            _process.deadline = threading.Timer(_SECONDS_TO_RECORD, _end, (_process.received, None))
            _process.deadline.daemon = True
            _process.deadline.start()


@contextmanager
def closing_before_end(close: Callable[[], None]) -> Iterator[None]:
    """Call `close` if the process ends at once while the body runs: what the body has entered is then not left."""
    _process.close = close
    try:
        yield
    finally:
        _process.close = None


def received_signal() -> int | None:
    """Return the signal that stopped the last flow of this process, if one did."""
    return _process.received


def redeliver(number: int) -> None:
    """Leave a signal to Prefect if a deployment is running: it may be a cancellation, which Prefect records as such."""
    if not _process.is_ours:
        os.kill(os.getpid(), number)


def report_stopped(number: int) -> int:
    """Print how to continue, and return the exit status for the signal."""
    if _process.deadline is not None:
        _process.deadline.cancel()
    typer.echo(
        "pkd: stopped; what is done stays done, and the same command continues from there.", file=sys.stderr
    )
    return 128 + number


def end_process(status: int) -> NoReturn:
    """End the process without waiting for its threads; a server that it started ends with it, some moments later."""
    if _process.close is not None:
        _process.close()
    os._exit(status)


@contextmanager
def _handling(handler: Handler) -> Iterator[None]:
    # Only the main thread may set handlers; a flow that runs in another is stopped by its caller.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _stop(number: int, _frame: FrameType | None) -> None:
    if _process.received is not None:
        _end(number, None)
    _process.received = number
    typer.echo("\npkd: stopping at the next step; again to end at once.", file=sys.stderr)
    request_stop()
    if _process.is_ours:
        # Prefect would log four lines about each stage that stops or does not begin.
        logging.disable(logging.CRITICAL)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    end_process(report_stopped(number))
