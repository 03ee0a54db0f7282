"""Settles, before Prefect is imported, where it keeps its files and which server it talks to."""

import logging
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOGGERS = ("pkd_core", "tasks", "flows")
_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(_LOGGERS),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
SERVER_URL = "http://127.0.0.1:4200/api"


def prepare_environment(workspace: Path) -> None:
    """Set what Prefect reads at import, leaving alone what the user has set."""
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

    Yields:
        The running server's API address, or None for one of our own.
    """
    # Prefect looks for the folder when it is imported, and its database needs it.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    url = os.environ.get("PREFECT_API_URL") or SERVER_URL
    if answers(f"{url}/health"):
        os.environ["PREFECT_API_URL"] = url
        yield url
        return
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
