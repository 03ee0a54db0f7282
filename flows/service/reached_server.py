"""A Prefect server that the workers of a Ray cluster reach."""

import os
import socket
from urllib.parse import urlsplit

import typer

from flows.service.listening import HERE, LOOPBACK, Listening
from pkd_core.config.placement import host_of, is_cluster
from pkd_core.errors import ConfigError

_URL_VARIABLE = "PREFECT_API_URL"


def listening_for(placement: str) -> Listening:
    """Return where the server of a run listens: on this machine's address towards a cluster, or on loopback alone.

    Raises:
        ConfigError: The cluster's host is unknown, or cannot be reached.
    """
    if not is_cluster(placement):
        return HERE
    host = host_of(placement)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # nothing is sent
            address = probe.getsockname()[0]
    except OSError as error:
        raise ConfigError(
            f"--placement {placement} names a host that cannot be reached ({error.strerror or error}); correct it."
        ) from error
    return Listening(address)


def server_for(placement: str, found: str | None) -> str | None:
    """Return a running server's address if the workers reach it, too; None if the run needs one of its own.

    Raises:
        ConfigError: The user has named one that listens on this machine alone.
    """
    if found is None or not listening_for(placement).is_for_others or not _is_loopback(found):
        return found
    if os.environ.get(_URL_VARIABLE):
        raise ConfigError(
            f"with --placement {placement} other machines send their states to Prefect's server, and {_URL_VARIABLE} "
            f"names one of this machine alone; start it with `pkd up --host ADDRESS`, or unset {_URL_VARIABLE}."
        )
    typer.echo("the running Prefect server listens on this machine alone: continuing without it")
    return None


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in (*LOOPBACK, "::1")
