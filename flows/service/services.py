"""The servers and the serving process: their commands, environments and addresses, and the login that they require."""

import json
import os
import shlex
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.service.answers import answers
from flows.service.login import (
    Login,
    basic_authorization,
    prefect_client_environment,
    prefect_server_environment,
)
from flows.service.prefect_app import HOSTS, ORIGINS_VARIABLE, server_origins
from flows.service.processes import Service
from tasks.mlflow_store import artifact_root, tracking_uri

DEPLOYMENT = "full-glue"
SEARCH_DEPLOYMENT = "staged"
COMPRESS_DEPLOYMENT = "compress"
_HOST = HOSTS[0]
# Where our packages are: without this option uvicorn imports from the current folder first.
_APP_DIR = ("--app-dir", str(Path(__file__).parents[2]))


@dataclass(frozen=True)
class Servers:
    """The addresses of both servers, and the login that they require."""

    prefect_port: int
    mlflow_port: int
    login: Login

    @property
    def prefect_api(self) -> str:
        """The address of Prefect's API."""
        return prefect_api(self.prefect_port)

    @property
    def mlflow(self) -> str:
        """The address of MLflow's UI."""
        return f"http://{_HOST}:{self.mlflow_port}"


def prefect_api(port: int) -> str:
    """Return the address of the API of a Prefect server on a port."""
    return f"http://{_HOST}:{port}/api"


def prefect_service(port: int, login: Login, name: str = "Prefect server") -> Service:
    """Return a Prefect server with its pages."""
    origins = server_origins(port)
    return Service(
        name,
        [
            *(sys.executable, "-m", "uvicorn", "--factory", "flows.service.prefect_app:create_app"),
            *_APP_DIR,
            *("--host", _HOST, "--port", str(port), "--lifespan", "on", "--log-level", "warning"),
        ],
        lambda: answers(f"{prefect_api(port)}/health"),
        {"PREFECT_API_URL": prefect_api(port), ORIGINS_VARIABLE: origins} | prefect_server_environment(login),
    )


def temporary_prefect_service(port: int, login: Login) -> Service:
    """Return the server of one run: without pages, and with the services that Prefect itself gives such a server."""
    service = prefect_service(port, login, "temporary Prefect server")
    # A server whose database fails writes hundreds of lines at every request; the run reports the failure in one.
    level = os.environ.get("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    of_prefect = {
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": level,
    }
    return replace(service, environment={**service.environment, **of_prefect})


def mlflow_service(servers: Servers, workspace: Path, environment: Mapping[str, str]) -> Service:
    """Return MLflow's UI over a workspace's store.

    Args:
        servers: Its port and login.
        workspace: Folder whose store is shown.
        environment: From `mlflow_environment` with the same login.
    """
    options = [
        "--host",
        _HOST,
        "--port",
        str(servers.mlflow_port),
        "--workers",
        "1",
        "--app-name",
        "basic-auth",
    ]
    options += ["--uvicorn-opts", shlex.join(_APP_DIR), "--artifacts-destination", artifact_root(workspace)]
    # Not among the options: the process list shows those, and the store's address may contain a password.
    of_server = {
        "MLFLOW_BACKEND_STORE_URI": tracking_uri(workspace),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(f"{host}:*" for host in HOSTS),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": server_origins(servers.mlflow_port),
    }
    return Service(
        "MLflow UI",
        [sys.executable, "-m", "mlflow", "server", *options],
        lambda: answers(f"{servers.mlflow}/health"),
        {**environment, **of_server},
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
    headers = dict(basic_authorization(servers.login.pair))
    request = urllib.request.Request(
        f"{servers.prefect_api}/deployments/name/pkd/{DEPLOYMENT}", headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            deployment: Mapping[str, Any] = json.load(response)
    except OSError:
        return False
    return datetime.fromisoformat(deployment["updated"]) >= since
