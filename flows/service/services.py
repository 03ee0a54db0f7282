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
from flows.service.databases import IN_FILES, Databases
from flows.service.listening import HERE, Listening
from flows.service.login import (
    Login,
    basic_authorization,
    mlflow_client_environment,
    prefect_client_environment,
    prefect_server_environment,
)
from flows.service.mlflow_backend import Backend
from flows.service.prefect_app import ORIGINS_VARIABLE
from flows.service.processes import Service

DEPLOYMENT = "full-glue"
SEARCH_DEPLOYMENT = "staged"
COMPRESS_DEPLOYMENT = "compress"
# Where our packages are: without this option uvicorn imports from the current folder first.
_APP_DIR = ("--app-dir", str(Path(__file__).parents[2]))


@dataclass(frozen=True)
class Servers:
    """The addresses of both servers, and the login that they require."""

    prefect_port: int
    mlflow_port: int
    login: Login
    listening: Listening = HERE

    @property
    def prefect_api(self) -> str:
        """The address of Prefect's API, for processes of this machine."""
        return prefect_api(self.prefect_port, self.listening.from_here)

    @property
    def mlflow(self) -> str:
        """The address of MLflow's server, for processes of this machine."""
        return f"http://{self.listening.from_here}:{self.mlflow_port}"

    @property
    def prefect_api_for_others(self) -> str:
        """The address of Prefect's API as others write it."""
        return prefect_api(self.prefect_port, self.listening.from_elsewhere)

    @property
    def mlflow_for_others(self) -> str:
        """The address of MLflow's server as others write it."""
        return f"http://{self.listening.from_elsewhere}:{self.mlflow_port}"


def prefect_api(port: int, host: str = HERE.from_here) -> str:
    """Return the address of the API of a Prefect server on a port."""
    return f"http://{host}:{port}/api"


def prefect_service(
    port: int,
    login: Login,
    listening: Listening = HERE,
    databases: Databases = IN_FILES,
    name: str = "Prefect server",
) -> Service:
    """Return a Prefect server with its pages."""
    api = prefect_api(port, listening.from_here)
    environment = {
        "PREFECT_API_URL": api,
        # Its pages then ask the server by the name under which they were opened.
        "PREFECT_SERVER_UI_API_URL": "/api",
        ORIGINS_VARIABLE: listening.origins(port),
        **databases.prefect_environment(),
    }
    return Service(
        name,
        [
            *(sys.executable, "-m", "uvicorn", "--factory", "flows.service.prefect_app:create_app"),
            *_APP_DIR,
            *("--host", listening.host, "--port", str(port), "--lifespan", "on", "--log-level", "warning"),
        ],
        lambda: answers(f"{api}/health"),
        environment | prefect_server_environment(login),
    )


def temporary_prefect_service(port: int, login: Login, listening: Listening = HERE) -> Service:
    """Return the server of one run: without pages, and with the services that Prefect itself gives such a server."""
    service = prefect_service(port, login, listening, name="temporary Prefect server")
    # A server whose database fails writes hundreds of lines at every request; the run reports the failure in one.
    level = os.environ.get("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    of_prefect = {
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": level,
    }
    return replace(service, environment={**service.environment, **of_prefect})


def mlflow_service(servers: Servers, backend: Backend, environment: Mapping[str, str]) -> Service:
    """Return MLflow's server with its pages.

    Args:
        servers: Its port, login and addresses.
        backend: What it keeps its data in.
        environment: From `mlflow_environment` with the same login.
    """
    listening, port = servers.listening, servers.mlflow_port
    options = ["--host", listening.host, "--port", str(port), "--workers", "1", "--app-name", "basic-auth"]
    options += ["--uvicorn-opts", shlex.join(_APP_DIR), "--artifacts-destination", backend.artifacts]
    # Not among the options: the process list shows those, and the database's address may contain a password.
    of_server = {
        "MLFLOW_BACKEND_STORE_URI": backend.database,
        "MLFLOW_SERVER_ALLOWED_HOSTS": listening.patterns(),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": listening.origins(port),
    }
    return Service(
        "MLflow UI",
        [sys.executable, "-m", "mlflow", "server", *options],
        lambda: answers(f"{servers.mlflow}/health"),
        {**environment, **of_server},
    )


def serving_service(servers: Servers, backend: Backend, parameters: Mapping[str, Any]) -> Service:
    """Return the process that registers the deployment, with default parameters for the flow, and runs it."""
    api, started = servers.prefect_api, datetime.now(UTC)
    of_mlflow = mlflow_client_environment(servers.mlflow, servers.login) if backend.is_of_server else {}
    return Service(
        "serving process",
        [sys.executable, "-m", "flows.service.serve", json.dumps(parameters)],
        lambda: _is_registered(servers, started),
        {"PREFECT_API_URL": api} | prefect_client_environment(servers.login) | of_mlflow,
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
