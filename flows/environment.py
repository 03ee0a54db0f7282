"""Prepares the process for Prefect and MLflow before they are imported: where they keep their files, what they log."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flows.service.login import read_login
from flows.workspace import check_addressable
from pkd_core.store.attached import place_of
from pkd_core.store.network_folder import network_type

_LOGGERS = ("pkd_core", "tasks", "flows")
_DEFAULTS = {
    # As in pkd_core.runtime.process_setup, for what runs before it: transformers' log, and its progress bars too.
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(_LOGGERS),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # As in pkd_core.runtime.process_setup, for a deployment's runs: their threads start before any of our code runs.
    "MALLOC_ARENA_MAX": "1",
}


def prepare_environment(workspace: Path) -> None:
    """Set what Prefect and MLflow read at import, except what the user has set.

    Raises:
        ConfigError: PKD_LOGIN is set and is not a login, or the workspace's path has one of % ? #.
    """
    read_login()
    check_addressable(workspace)
    bypass_proxies(["127.0.0.1", "localhost"])
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(workspace.resolve() / "artifacts" / "prefect"))
    warn_of_network_folder(workspace)
    show_progress()


def warn_of_network_folder(workspace: Path) -> None:
    """Say in the log that a workspace of one machine lies where several may work, if it does."""
    kind = network_type(workspace)
    if kind is not None and place_of(workspace) is None:
        logging.getLogger(__name__).warning(
            "%s lies on %s, where the locks of several machines cannot be relied on: if others work there too, give "
            "--workspace %s instead (docs/workspaces.md)",
            *(workspace, kind, workspace.resolve().as_uri()),
        )


def show_progress() -> None:
    """Let the project's own log lines, its progress among them, reach Prefect's handlers."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the body runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def bypass_proxies(own_hosts: Collection[str]) -> None:
    """Keep requests to our own servers, and the login in them, away from a proxy that the user has set."""
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if hosts != "*":
        added = [host for host in own_hosts if host not in hosts.split(",")]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [hosts, *added]))
