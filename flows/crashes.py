"""Says in a sentence that Prefect itself broke off a run, and ends the process rather than wait for its threads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pkd_core.exhaustion import lack_behind

_STATUS = 2
_GO_ON = "and run again (what is finished is kept)"


@contextmanager
def ending_at_crashes() -> Iterator[None]:
    """End the whole process with a sentence when Prefect's server or the system fails the body; let other errors pass.

    Stages may still be running in threads that wait for what is not there any more, and an ordinary exit would wait
    for them. Nothing is lost: what is published is whole, and work folders stay to be resumed.
    """
    try:
        yield
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        from prefect.server.api.server import SubprocessASGIServer

        SubprocessASGIServer().stop()
        typer.echo(f"pkd: {sentence}.", err=True)
        os._exit(_STATUS)


def _sentence(error: Exception) -> str | None:
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    lack = lack_behind(error)
    if lack is not None:
        name, advice = lack.value
        return f"this run needs more {name} than its process gets: {advice} {_GO_ON}"
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
