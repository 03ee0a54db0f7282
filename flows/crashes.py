"""Ends the process in one sentence when Prefect's server or the system fails a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from flows.service.own_server import server_sentence
from flows.stopping import end_process, received_signal, report_stopped
from pkd_core.store.os_errors import find_shortage

_STATUS = 2
_CONTINUE = "and run again (what is finished is kept)"


@contextmanager
def ending_at_crashes() -> Iterator[None]:
    """End the process with one sentence when Prefect's server or the system fails the body; raise other errors.

    Stages may still run in threads that wait for the server, and an ordinary exit would wait for them. Nothing is lost:
    what is published is complete, and work folders stay to be resumed.
    """
    try:
        yield
    except Exception as error:
        if (number := received_signal()) is not None:
            # The signal ended Prefect's server too, before it could record the stopped flow.
            end_process(report_stopped(number))
        sentence = _sentence(error)
        if sentence is None:
            raise
        typer.echo(f"pkd: {sentence}.", err=True)
        end_process(_STATUS)


def _sentence(error: Exception) -> str | None:
    import httpx

    shortage = find_shortage(error)
    if shortage is not None:
        name, advice = shortage.value
        return f"this run needs more {name} than its process gets: {advice} {_CONTINUE}"
    if isinstance(error, httpx.HTTPError):
        return server_sentence(error)
    return None
