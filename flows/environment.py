"""Settles, before Prefect is imported, where it keeps its files and which server it talks to."""

import logging
import os
import urllib.request
from pathlib import Path

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pkd_core,tasks,flows",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
SERVER_URL = "http://127.0.0.1:4200/api"


def prepare_environment(workspace: Path) -> None:
    """Set what Prefect reads at import, leaving alone what the user has set."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(workspace.resolve() / "artifacts" / "prefect"))
    # Prefect's own loggers write to the terminal through its handlers; these are the project's.
    for name in ("pkd_core", "tasks", "flows"):
        logging.getLogger(name).setLevel(logging.INFO)


def choose_server() -> str | None:
    """Use a running Prefect server if there is one, else leave Prefect to start one inside this process.

    Returns:
        The server's API address, or None for the embedded one.
    """
    url = os.environ.get("PREFECT_API_URL", SERVER_URL)
    if url and answers(f"{url}/health"):
        os.environ["PREFECT_API_URL"] = url
        return url
    # Empty, not absent: pyproject.toml names an address too, and with any address Prefect starts no server of its own.
    os.environ["PREFECT_API_URL"] = ""
    return None


def answers(url: str, seconds: float = 1.0) -> bool:
    """Tell whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:
            return bool(response.status == 200)
    except OSError:
        return False
