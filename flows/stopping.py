"""Ends a run at Ctrl-C: its stages compute in threads, which Python cannot interrupt and would wait for."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

_STATUS = 128 + signal.SIGINT


@contextmanager
def ending_at_ctrl_c() -> Iterator[None]:
    """End the whole process at Ctrl-C while the body runs.

    Nothing is lost by it: what is published is whole, work folders stay to be resumed, the kernel frees the locks, and
    the next run of a stage marks what MLflow still calls running as failed.
    """
    before = signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    from prefect.server.api.server import SubprocessASGIServer

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    typer.echo("\npkd: stopped; what is done stays done, and the same command goes on from there.", err=True)
    SubprocessASGIServer().stop()
    os._exit(_STATUS)
