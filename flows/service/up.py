"""`pkd up`: Prefect's server, MLflow's UI and the serving process, until Ctrl-C."""

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from flows.request import Request
from flows.service.login import (
    VARIABLE,
    Login,
    keep_new_login,
    kept_login,
    kept_login_path,
    mlflow_environment,
    read_login,
)
from flows.service.prefect_database import alone_at_start
from flows.service.processes import (
    Service,
    launch,
    require_free_port,
    stop,
    supervised,
    wait_until_ready,
)
from flows.service.services import (
    COMPRESS_DEPLOYMENT,
    DEPLOYMENT,
    SEARCH_DEPLOYMENT,
    Servers,
    mlflow_service,
    prefect_service,
    serving_service,
)
from flows.service.up_record import read_record, remove_record, write_record
from pkd_core.errors import ConfigError, PkdError
from tasks.mlflow_store import ensure_store, experiment_page

Running = list[tuple[Service, "subprocess.Popen[bytes]"]]


def serve_until_stopped(request: Request, prefect_port: int, mlflow_port: int) -> None:
    """Start the three services, print their addresses, and stop them all at Ctrl-C or SIGTERM.

    Both servers require a login: PKD_LOGIN, or one that is made and kept in the workspace.

    Raises:
        PkdError: The ports are equal, a port is taken, a service does not start or ends, or PKD_LOGIN is not a login.
    """
    read_login()
    if prefect_port == mlflow_port:
        raise ConfigError(
            f"Prefect's server and MLflow's pages need a port each, got {prefect_port} for both; give another "
            "--prefect-port or --mlflow-port."
        )
    earlier = read_record(request.workspace)
    require_free_port("Prefect server", prefect_port, earlier)
    require_free_port("MLflow UI", mlflow_port, earlier)
    logs = request.workspace.resolve() / "artifacts" / "logs"
    ensure_store(request.workspace)
    servers = Servers(prefect_port, mlflow_port, _login(request.workspace))
    typer.echo("starting Prefect's server, MLflow's pages and the serving process ...")
    with ExitStack() as services:
        with alone_at_start(Path(os.environ["PREFECT_HOME"])):
            stopped = _stopped_by_signals()
            running = _start(request, servers, logs, services)
            _wait_until_up(running[:1], logs, stopped)
        _wait_until_up(running[1:], logs, stopped)
        if not stopped.is_set():
            typer.echo(_welcome(request, servers))
        _wait_for_end(running, stopped)
    remove_record(request.workspace)
    typer.echo("stopped; what was done stays done, and `pkd up` continues from there.")


def _start(request: Request, servers: Servers, logs: Path, services: ExitStack) -> Running:
    """Launch the services, Prefect's server first, and write them down; the stack's end stops them."""
    environment = services.enter_context(mlflow_environment(servers.login))
    prefect = prefect_service(servers.prefect_port, servers.login)
    mlflow = mlflow_service(servers, request.workspace, environment)
    serving = serving_service(servers, request.parameters())
    # The serving process signs off from Prefect's server, and would wait long for one that is gone: it stops first.
    running = [
        *services.enter_context(_launched(logs, prefect, mlflow)),
        *services.enter_context(_launched(logs, serving)),
    ]
    services.callback(typer.echo, "stopping ...")
    _record(request.workspace, servers, running)
    return running


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
    (_, prefect), (_, mlflow), _ = running
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


def _welcome(request: Request, servers: Servers) -> str:
    api = servers.prefect_api
    # The shell inserts the login, so that it appears neither here nor in the shell's history.
    if os.environ.get(VARIABLE):
        source, pair = f"${VARIABLE}", VARIABLE
    else:
        path = kept_login_path(request.workspace)
        source, pair = f"$(cat {shlex.quote(str(path))})", f"the login in {path}"
    return f"""
Prefect   {api.removesuffix("/api")}
MLflow    {servers.mlflow}/{experiment_page(request.workspace)}
Both require {pair}: MLflow name and password, Prefect's page name:password in one.

In another terminal:
    export PREFECT_API_URL={api}
    export PREFECT_API_AUTH_STRING="{source}"
    prefect deployment run pkd/{DEPLOYMENT} --watch
    prefect deployment run pkd/{COMPRESS_DEPLOYMENT} --watch --param 'data="reviews.csv"'
    prefect deployment run pkd-search/{SEARCH_DEPLOYMENT} --watch --param 'tasks=["{request.run.tasks[0]}"]'

Tasks by default: {", ".join(request.run.tasks)}. Ctrl-C stops all three."""
