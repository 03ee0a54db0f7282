"""`pkd up`: Prefect's server, MLflow's UI and the serving process, until Ctrl-C."""

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from flows.environment import answers
from flows.request import Request
from flows.service.login import (
    VARIABLE,
    Login,
    basic_authorization,
    mlflow_environment,
    prefect_client_environment,
    prefect_server_environment,
    read_login,
)
from flows.service.processes import Service, launch, require_free_port, stop, wait_until_ready
from flows.service.serve import DEPLOYMENT
from pkd_core.errors import PkdError
from tasks.mlflow_store import artifact_root, ensure_store, experiment_page, tracking_uri

_HOST = "127.0.0.1"
Running = list[tuple[Service, "subprocess.Popen[bytes]"]]


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


def serve_until_stopped(request: Request, prefect_port: int, mlflow_port: int) -> None:
    """Start the three services, print their addresses, and stop them all at Ctrl-C or SIGTERM.

    With PKD_LOGIN set, both servers require it.

    Raises:
        PkdError: A port is taken, a service does not start or ends, or PKD_LOGIN is not a login.
    """
    servers = Servers(prefect_port, mlflow_port, read_login())
    require_free_port("Prefect server", prefect_port)
    require_free_port("MLflow UI", mlflow_port)
    logs = request.workspace.resolve() / "artifacts" / "logs"
    ensure_store(request.workspace)
    stopped = _stopped_by_signals()
    typer.echo("starting Prefect's server, MLflow's pages and the serving process ...")
    with mlflow_environment(servers.login) as environment:
        prefect = prefect_service(servers)
        mlflow = mlflow_service(servers, request.workspace, environment)
        serving = serving_service(servers, request.parameters())
        # The serving process signs off from Prefect's server, and would wait long for one that is gone: it stops first.
        with _launched(logs, prefect, mlflow) as started, _launched(logs, serving) as last:
            try:
                _wait_for_end([*started, *last], logs, stopped, _welcome(request, servers))
            finally:
                typer.echo("stopping ...")
    typer.echo("stopped; what was done stays done, and `pkd up` continues from there.")


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


@contextmanager
def _launched(logs: Path, *services: Service) -> Iterator[Running]:
    """Launch services, and stop them at the end of the body."""
    running: Running = []
    try:
        for service in services:
            running.append((service, launch(service, logs)))
        yield running
    finally:
        stop(*(process for _, process in running))


def _wait_for_end(running: Running, logs: Path, stopped: threading.Event, welcome: str) -> None:
    """Wait until every service answers, print the welcome, and wait for the end.

    Raises:
        PkdError: A service does not start, or ends.
    """
    for service, process in running:
        wait_until_ready(service, process, logs, stopped)
        if not stopped.is_set():
            typer.echo(f"the {service.name} is up")
    if not stopped.is_set():
        typer.echo(welcome)
    while not stopped.wait(1.0):
        for service, process in running:
            if process.poll() is not None:
                raise PkdError(
                    f"the {service.name} ended with status {process.returncode}; its log is in artifacts/logs."
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


def _stopped_by_signals() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set from now on."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _welcome(request: Request, servers: Servers) -> str:
    api = servers.prefect_api
    if servers.login:
        access = f"Both require {VARIABLE}: MLflow name and password, Prefect's page name:password in one."
        # The shell inserts the login, so that it appears neither here nor in the shell's history.
        export = f'\n    export PREFECT_API_AUTH_STRING="${VARIABLE}"'
    else:
        access = f"Anyone on this machine can use both; {VARIABLE}=name:password, set beforehand, gives them a login."
        export = ""
    return f"""
Prefect   {api.removesuffix("/api")}
MLflow    {servers.mlflow}/{experiment_page(request.workspace)}
{access}

In another terminal:
    export PREFECT_API_URL={api}{export}
    prefect deployment run pkd/{DEPLOYMENT} --watch

Tasks by default: {", ".join(request.run.tasks)}. Ctrl-C stops all three."""
