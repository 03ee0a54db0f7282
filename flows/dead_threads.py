"""Ends the process when one of its threads dies at its start, because CPython would wait for that thread forever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from flows.stopping import end_process

_STATUS = 2
_SECONDS_TO_START = 20.0
_MESSAGE = (
    "pkd: this run needs more memory than its process gets: end other programs, raise the limit (ulimit -v) or train "
    "in smaller parts (accumulation_steps) and run again (what is finished is kept)."
)


@contextmanager
def ending_at_dead_threads() -> Iterator[None]:
    """End the process with one sentence when, while the body runs, a thread does not get to its first step.

    Without memory for that step CPython (3.11 to 3.13 at least) lets the thread die, and its starter waits forever.
    """
    done = threading.Event()
    threading.Thread(target=_watch, args=[done], name="dead-threads", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(done: threading.Event) -> None:
    before: set[threading.Thread] = set()
    while not done.wait(_SECONDS_TO_START):
        # A thread is listed before it starts, and no longer once it has ended.
        starting = {thread for thread in threading.enumerate() if not thread.is_alive()}
        if starting & before:
            typer.echo(_MESSAGE, err=True)
            end_process(_STATUS)
        before = starting
