"""Says in a sentence that Prefect itself broke off a run, and ends the process rather than wait for its threads."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from pkd_core.store.os_errors import Shortage, find_shortage

_STATUS = 2
_SECONDS_TO_START = 20.0
_GO_ON = "and run again (what is finished is kept)"


@contextmanager
def ending_at_crashes() -> Iterator[None]:
    """End the whole process with a sentence when Prefect's server or the system fails the body; let other errors pass.

    Stages may still be running in threads that wait for what is not there any more, and an ordinary exit would wait
    for them. Nothing is lost: what is published is whole, and work folders stay to be resumed.
    """
    try:
        with ending_at_stillborn_threads():
            yield
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        _end(sentence)


@contextmanager
def ending_at_stillborn_threads() -> Iterator[None]:
    """End the whole process with a sentence when, while the body runs, a thread does not get to its first step.

    Without memory for that step CPython (3.11 to 3.13 at least) lets the thread die, and whoever started it waits for
    ever.
    """
    done = threading.Event()
    threading.Thread(target=_watch_starting_threads, args=[done], name="watch-threads", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch_starting_threads(done: threading.Event) -> None:
    before: set[threading.Thread] = set()
    while not done.wait(_SECONDS_TO_START):
        # A thread is listed before it is started, and no longer once it has ended.
        starting = {thread for thread in threading.enumerate() if not thread.is_alive()}
        if starting & before:
            _end(_sentence_of(Shortage.MEMORY))
        before = starting


def _end(sentence: str) -> NoReturn:
    try:
        typer.echo(f"pkd: {sentence}.", err=True)
        from prefect.server.api.server import SubprocessASGIServer

        SubprocessASGIServer().stop()
    finally:
        os._exit(_STATUS)


def _sentence_of(lack: Shortage) -> str:
    name, advice = lack.value
    return f"this run needs more {name} than its process gets: {advice} {_GO_ON}"


def _sentence(error: Exception) -> str | None:
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    lack = find_shortage(error)
    if lack is not None:
        return _sentence_of(lack)
    is_server = isinstance(error, PrefectHTTPStatusError | httpx.HTTPError) or "Prefect API server" in str(
        error
    )
    if not is_server:
        return None
    home = os.environ["PREFECT_HOME"]
    return (
        f"Prefect's server broke off the run ({type(error).__name__}): see that the disk of {home} has room and can be "
        f"written, {_GO_ON}; PREFECT_SERVER_LOGGING_LEVEL=ERROR shows what the server says"
    )
