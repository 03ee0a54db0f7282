"""The three processes of `pkd up`: their commands, environments and addresses, and the login of both servers."""

import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.environment import answers
from flows.service.login import (
    Login,
    basic_authorization,
    prefect_client_environment,
    prefect_server_environment,
)
from flows.service.processes import Service
from flows.service.serve import DEPLOYMENT
from tasks.mlflow_store import artifact_root, tracking_uri

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Servers:
    """The addresses of both servers, and the login that they require."""

    prefect_port: int
    mlflow_port: int
    login: Login | None

    @property
    def prefect_api(self) -> str:
        """The address of Prefect's API."""
        return f"http://{_HOST}:{self.prefect_port}/api"

    @property
    def mlflow(self) -> str:
        """The address of MLflow's UI."""
        return f"http://{_HOST}:{self.mlflow_port}"


def prefect_service(servers: Servers) -> Service:
    """Return Prefect's server."""
    api = servers.prefect_api
    options = ["--host", _HOST, "--port", str(servers.prefect_port)]
    return Service(
        "Prefect server",
        [sys.executable, "-m", "prefect", "server", "start", *options],
        lambda: answers(f"{api}/health"),
        {"PREFECT_API_URL": api} | prefect_server_environment(servers.login),
    )


def mlflow_service(servers: Servers, workspace: Path, environment: Mapping[str, str]) -> Service:
    """Return MLflow's UI over a workspace's store.

    Args:
        servers: Its port and login.
        workspace: Folder whose store is shown.
        environment: From `mlflow_environment` with the same login.
    """
    options = ["--host", _HOST, "--port", str(servers.mlflow_port), "--workers", "1"]
    options += ["--backend-store-uri", tracking_uri(workspace)]
    options += ["--artifacts-destination", artifact_root(workspace)]
    if servers.login:
        options += ["--app-name", "basic-auth"]
    return Service(
        "MLflow UI",
        [sys.executable, "-m", "mlflow", "server", *options],
        lambda: answers(f"{servers.mlflow}/health"),
        environment,
    )


def serving_service(servers: Servers, parameters: Mapping[str, Any]) -> Service:
    """Return the process that registers the deployment, with default parameters for the flow, and runs it."""
    api, started = servers.prefect_api, datetime.now(UTC)
    return Service(
        "serving process",
        [sys.executable, "-m", "flows.service.serve", json.dumps(parameters)],
        lambda: _is_registered(servers, started),
        {"PREFECT_API_URL": api} | prefect_client_environment(servers.login),
    )


def _is_registered(servers: Servers, since: datetime) -> bool:
    """Return whether the deployment was registered after a moment; an older registration has no process to run it."""
    headers = dict(basic_authorization(servers.login.pair if servers.login else None))
    request = urllib.request.Request(
        f"{servers.prefect_api}/deployments/name/pkd/{DEPLOYMENT}", headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            deployment: Mapping[str, Any] = json.load(response)
    except OSError:
        return False
    return datetime.fromisoformat(deployment["updated"]) >= since
