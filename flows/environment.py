"""Prepares the process for Prefect before it is imported: where it keeps its files, and which server it uses."""

import logging
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from flows.limits import check_disk
from flows.service.login import (
    VARIABLE,
    is_loopback,
    prefect_client_environment,
    prefect_server_environment,
    read_login,
    refuses,
)
from pkd_core.errors import PkdError
from pkd_core.store.os_errors import file_errors

_LOGGERS = ("pkd_core", "tasks", "flows")
_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(_LOGGERS),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # As in pkd_core.runtime.process_setup, for a deployment's runs: their threads start before any of our code runs.
    "MALLOC_ARENA_MAX": "1",
}
SERVER_URL = "http://127.0.0.1:4200/api"


def prepare_environment(workspace: Path) -> None:
    """Set what Prefect and MLflow read at import, except what the user has set.

    Raises:
        ConfigError: PKD_LOGIN is set and is not a login.
    """
    read_login()
    _bypass_proxies_for_loopback()
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(workspace.resolve() / "artifacts" / "prefect"))
    show_progress()


def show_progress() -> None:
    """Let the project's own log lines, its progress among them, reach Prefect's handlers."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def prefect_server() -> Iterator[str | None]:
    """Use a running Prefect server if there is one, else let Prefect start its own while the body runs.

    With PKD_LOGIN set, the server that Prefect starts requires it too.

    Yields:
        The running server's API address, or None if Prefect is to start its own.

    Raises:
        PkdError: The running server requires a login and refuses the one that the user has set.
        StoreError: Prefect's folder cannot be created, or its disk is too full for a server's database.
    """
    # Prefect looks for the folder when it is imported, and its database needs it.
    home = Path(os.environ["PREFECT_HOME"])
    with file_errors("write", home):
        home.mkdir(parents=True, exist_ok=True)
    url = os.environ.get("PREFECT_API_URL") or SERVER_URL
    if answers(f"{url}/health") and _logs_in(url):
        os.environ["PREFECT_API_URL"] = url
        yield url
        return
    os.environ.update(prefect_server_environment(read_login()))
    check_disk(home)
    # A server whose database fails writes hundreds of lines at every request; the run reports the failure in one.
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    from prefect.settings import PREFECT_API_URL, temporary_settings

    # With any address set, as pyproject.toml does, Prefect starts no server.
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield None


def start_own_server() -> None:
    """Start the server that Prefect would start at its first request; call it inside `prefect_server`.

    Raises:
        PkdError: It does not start.
    """
    import httpx
    from prefect.server.api.server import SubprocessASGIServer

    try:
        SubprocessASGIServer().start()
    except (RuntimeError, httpx.HTTPError) as error:
        raise PkdError(f"{server_sentence(error)}.") from error


def server_sentence(error: Exception) -> str:
    """Return the sentence for a run that Prefect's server failed."""
    return (
        f"Prefect's server failed the run ({type(error).__name__}): check that the disk of "
        f"{os.environ['PREFECT_HOME']} has free space and can be written, and run again (what is finished is kept); "
        "PREFECT_SERVER_LOGGING_LEVEL=ERROR shows the server's own messages"
    )


def answers(url: str, seconds: float = 1.0) -> bool:
    """Return whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _logs_in(url: str) -> bool:
    """Log in to a running server if it requires that; return False if the user has set neither a server nor a login."""
    if not is_loopback(url):
        return True  # PKD_LOGIN is not sent to other machines; Prefect has its own settings for them
    protected = f"{url}/admin/version"  # like everything except /health
    login = read_login()
    if not refuses(protected, os.environ.get("PREFECT_API_AUTH_STRING")):
        return True
    if login and not refuses(protected, login.pair):
        os.environ.update(prefect_client_environment(login))
        return True
    page = url.removesuffix("/api")
    set_by_user = [
        name for name in (VARIABLE, "PREFECT_API_AUTH_STRING", "PREFECT_API_URL") if os.environ.get(name)
    ]
    if not set_by_user:
        # On a shared machine it may well belong to another user.
        typer.echo(
            f"the Prefect server at {page} requires a login, and {VARIABLE} is not set: continuing without it"
        )
        return False
    got = "none" if set_by_user == ["PREFECT_API_URL"] else "another"
    raise PkdError(
        f"the Prefect server at {page} needs its login, and got {got}; set {VARIABLE} to the "
        f"one that its `pkd up` was started with, or unset {' and '.join(set_by_user)} to run without that server."
    )


def _bypass_proxies_for_loopback() -> None:
    """Keep requests to our own servers, and the login in them, away from a proxy that the user has set."""
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if hosts != "*":
        added = [host for host in ("127.0.0.1", "localhost") if host not in hosts.split(",")]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [hosts, *added]))
