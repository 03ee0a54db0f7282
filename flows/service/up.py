"""`pkd up`: Prefect's server, MLflow's server and the serving process, until Ctrl-C."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from flows.environment import bypass_proxies
from flows.request import Request
from flows.service.databases import Databases, take_databases
from flows.service.listening import HERE, Listening
from flows.service.login import (
    Login,
    basic_authorization,
    keep_new_login,
    kept_login,
    kept_login_path,
    mlflow_client_environment,
    mlflow_environment,
    read_login,
)
from flows.service.mlflow_backend import Backend, check_keeps_files, server_backend, workspace_backend
from flows.service.prefect_database import alone_at_start
from flows.service.processes import (
    Service,
    launch,
    require_free_port,
    stop,
    supervised,
    wait_until_ready,
)
from flows.service.services import Servers, mlflow_service, prefect_service, serving_service
from flows.service.up_record import read_record, remove_record, write_record
from flows.service.welcome import welcome
from pkd_core.errors import ConfigError, PkdError

Running = list[tuple[Service, "subprocess.Popen[bytes]"]]


@dataclass(frozen=True)
class Wanted:
    """What `pkd up` is to start.

    Attributes:
        prefect_port: Port of Prefect's server.
        mlflow_port: Port of MLflow's server.
        listening: Where both listen.
        artifacts: Folder or bucket for the files that other machines send to MLflow's server.
        runs_flows: Whether this machine runs the deployments.
    """

    prefect_port: int = 4200
    mlflow_port: int = 5000
    listening: Listening = HERE
    artifacts: str | None = None
    runs_flows: bool = True


def serve_until_stopped(request: Request, wanted: Wanted) -> None:
    """Start the services, print their addresses, and stop them all at Ctrl-C or SIGTERM.

    Both servers require a login: PKD_LOGIN, or one that is made and kept in the workspace.

    Raises:
        PkdError: The ports are equal, a port is taken, a database does not answer, a service does not start or ends,
            or PKD_LOGIN is not a login.
    """
    read_login()
    _check_ports(request.workspace, wanted)
    bypass_proxies([wanted.listening.from_here])
    databases = take_databases()
    backend = _backend(request.workspace, wanted, databases)
    servers = Servers(wanted.prefect_port, wanted.mlflow_port, _login(request.workspace), wanted.listening)
    logs = request.workspace.resolve() / "artifacts" / "logs"
    typer.echo(
        f"starting Prefect's server, MLflow's pages{' and the serving process' * wanted.runs_flows} ..."
    )
    with ExitStack() as services:
        with alone_at_start(Path(os.environ["PREFECT_HOME"])):
            stopped = _stopped_by_signals()
            running = _start_servers(servers, databases, backend, logs, services)
            # It signs off from Prefect's server, and would wait long for one that is gone: it stops first.
            if wanted.runs_flows:
                serving = serving_service(servers, backend, request.parameters())
                running += services.enter_context(_launched(logs, serving))
            services.callback(typer.echo, "stopping ...")
            _record(request.workspace, servers, running)
            _wait_until_up(running[:1], logs, stopped)
        _wait_until_up(running[1:], logs, stopped)
        if not stopped.is_set():
            _use(servers, backend)
            typer.echo(welcome(request, servers, backend, wanted.runs_flows))
        _wait_for_end(running, stopped)
    remove_record(request.workspace)
    typer.echo("stopped; what was done stays done, and `pkd up` continues from there.")


def _check_ports(workspace: Path, wanted: Wanted) -> None:
    if wanted.prefect_port == wanted.mlflow_port:
        raise ConfigError(
            f"Prefect's server and MLflow's pages need a port each, got {wanted.prefect_port} for both; give another "
            "--prefect-port or --mlflow-port."
        )
    earlier = read_record(workspace)
    require_free_port("Prefect server", wanted.prefect_port, earlier, wanted.listening)
    require_free_port("MLflow UI", wanted.mlflow_port, earlier, wanted.listening)


def _backend(workspace: Path, wanted: Wanted, databases: Databases) -> Backend:
    """Return the workspace's own store, unless other machines are to use it, or it is to be elsewhere."""
    if wanted.listening.is_for_others or databases.mlflow or wanted.artifacts:
        return server_backend(workspace, databases.mlflow, wanted.artifacts)
    return workspace_backend(workspace)


def _start_servers(
    servers: Servers, databases: Databases, backend: Backend, logs: Path, services: ExitStack
) -> Running:
    """Launch both servers, Prefect's first; the stack's end stops them."""
    environment = services.enter_context(mlflow_environment(servers.login))
    prefect = prefect_service(servers.prefect_port, servers.login, servers.listening, databases)
    mlflow = mlflow_service(servers, backend, environment)
    return services.enter_context(_launched(logs, prefect, mlflow))


def _use(servers: Servers, backend: Backend) -> None:
    """Let this process send its own data to a store that belongs to MLflow's server, after a check that it keeps files.

    Raises:
        ConfigError: It does not.
    """
    if backend.is_of_server:
        check_keeps_files(servers.mlflow, backend, basic_authorization(servers.login.pair))
        os.environ.update(mlflow_client_environment(servers.mlflow, servers.login))


def _login(workspace: Path) -> Login:
    """Return the login of PKD_LOGIN, else the one that is kept in the workspace, else a new one, and show that."""
    login = read_login() or kept_login(workspace)
    if login is None:
        login = keep_new_login(workspace)
        typer.echo(
            f"made a login, which only this user can read in {kept_login_path(workspace)}:\n    {login.pair}"
        )
    return login


def _record(workspace: Path, servers: Servers, running: Running) -> None:
    """Write down which processes use which ports, for the `pkd up` or `pkd run` that finds them later."""
    (_, prefect), (_, mlflow), *_ = running
    write_record(
        workspace,
        servers.prefect_api,
        {process.pid: " ".join(supervised(service.command)) for service, process in running},
        {servers.prefect_port: prefect.pid, servers.mlflow_port: mlflow.pid},
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


def _wait_until_up(running: Running, logs: Path, stopped: threading.Event) -> None:
    """Wait until every service answers, or until `stopped` is set.

    Raises:
        PkdError: A service does not start.
    """
    for service, process in running:
        wait_until_ready(service, process, logs, stopped)
        if not stopped.is_set():
            typer.echo(f"the {service.name} is up")


def _wait_for_end(running: Running, stopped: threading.Event) -> None:
    """Wait until `stopped` is set.

    Raises:
        PkdError: A service ends.
    """
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
