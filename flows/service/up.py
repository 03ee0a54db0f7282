"""`pkd up`: Prefect's server, MLflow's UI and the serving process, until Ctrl-C."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from flows.request import Request
from flows.service.login import VARIABLE, mlflow_environment, read_login
from flows.service.processes import Service, launch, require_free_port, stop, wait_until_ready
from flows.service.serve import DEPLOYMENT
from flows.service.services import Servers, mlflow_service, prefect_service, serving_service
from pkd_core.errors import PkdError
from tasks.mlflow_store import ensure_store, experiment_page

Running = list[tuple[Service, "subprocess.Popen[bytes]"]]


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
