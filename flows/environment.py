"""Settles, before Prefect is imported, where it keeps its files and which server it talks to."""

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
    for_prefect_client,
    for_prefect_server,
    is_on_this_machine,
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
    # As pkd_core.runtime.process_setup has it, for a deployment's runs: their threads are there before any of our code.
    "MALLOC_ARENA_MAX": "1",
}
SERVER_URL = "http://127.0.0.1:4200/api"


def prepare_environment(workspace: Path) -> None:
    """Set what Prefect reads at import, leaving alone what the user has set.

    Raises:
        ConfigError: PKD_LOGIN is set, and is no login.
    """
    read_login()
    _bypass_proxies_on_this_machine()
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(workspace.resolve() / "artifacts" / "prefect"))
    show_progress()


def show_progress() -> None:
    """Let the project's own log lines through, its progress among them; Prefect's handlers write them out."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


def compute_on_one_thread() -> None:
    """Keep torch, not imported yet, from dividing work so small that the threads wait for each other longer."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@contextmanager
def prefect_server() -> Iterator[str | None]:
    """Use a running Prefect server if there is one, else let Prefect start one for as long as the body runs.

    With PKD_LOGIN set, the one of our own asks for it too.

    Yields:
        The running server's API address, or None for one of our own.

    Raises:
        PkdError: The running server asks for a login, and does not take the one that the user has set.
        StoreError: The folder of Prefect's files cannot be made, or has no room for a server's database.
    """
    # Prefect looks for the folder when it is imported, and its database needs it.
    home = Path(os.environ["PREFECT_HOME"])
    with file_errors("write", home):
        home.mkdir(parents=True, exist_ok=True)
    url = os.environ.get("PREFECT_API_URL") or SERVER_URL
    if answers(f"{url}/health") and _lets_in(url):
        os.environ["PREFECT_API_URL"] = url
        yield url
        return
    os.environ.update(for_prefect_server(read_login()))
    check_disk(home)
    # A server whose database fails writes hundreds of lines at every request; the run says in one what failed.
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    from prefect.settings import PREFECT_API_URL, temporary_settings

    # With any address set, as pyproject.toml does, Prefect starts no server of its own.
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield None


def answers(url: str, seconds: float = 1.0) -> bool:
    """Tell whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _lets_in(url: str) -> bool:
    """Log in to a running server if it asks for that; False if it does and the user spoke of no server and no login."""
    if not is_on_this_machine(url):
        return True  # PKD_LOGIN is not for others; Prefect has its own settings for them
    needs_login = f"{url}/admin/version"  # as everything but /health
    login = read_login()
    if not refuses(needs_login, os.environ.get("PREFECT_API_AUTH_STRING")):
        return True
    if login and not refuses(needs_login, login.pair):
        os.environ.update(for_prefect_client(login))
        return True
    page = url.removesuffix("/api")
    named = [
        name for name in (VARIABLE, "PREFECT_API_AUTH_STRING", "PREFECT_API_URL") if os.environ.get(name)
    ]
    if not named:
        # On a shared machine it may well be somebody else's.
        typer.echo(
            f"the Prefect server at {page} asks for a login, and {VARIABLE} is not set: going without it"
        )
        return False
    got = "none" if named == ["PREFECT_API_URL"] else "another"
    raise PkdError(
        f"the Prefect server at {page} needs its login, and got {got}; set {VARIABLE} to the "
        f"one that its `pkd up` was started with, or unset {' and '.join(named)} to run without that server."
    )


def _bypass_proxies_on_this_machine() -> None:
    """Keep requests to our own servers, and the login in them, from going to a proxy that the user has set."""
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if hosts != "*":
        own = [host for host in ("127.0.0.1", "localhost") if host not in hosts.split(",")]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [hosts, *own]))
