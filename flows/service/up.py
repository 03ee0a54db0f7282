"""`pkd up`: Prefect's server, MLflow's pages and the serving process, until Ctrl-C."""

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import typer

from flows.environment import answers
from flows.request import Request
from flows.service.login import (
    VARIABLE,
    Login,
    basic_authorization,
    for_mlflow,
    for_prefect_client,
    for_prefect_server,
    read_login,
)
from flows.service.processes import Service, launch, require_free_port, stop, wait_until_ready
from flows.service.serve import DEPLOYMENT
from pkd_core.errors import PkdError
from tasks.mlflow_store import artifact_root, ensure_store, experiment_page, tracking_uri

_HOST = "127.0.0.1"


def serve_until_stopped(request: Request, prefect_port: int, mlflow_port: int) -> None:
    """Start the three services, say their addresses, and stop them all at Ctrl-C or SIGTERM.

    With PKD_LOGIN set, both servers ask for it.

    Raises:
        PkdError: A port is taken, or a service does not start, or PKD_LOGIN is no login.
    """
    login = read_login()
    require_free_port("Prefect server", prefect_port)
    require_free_port("MLflow UI", mlflow_port)
    logs = request.workspace.resolve() / "artifacts" / "logs"
    ensure_store(request.workspace)
    stopped = threading.Event()
    _on_signals(stopped.set)
    typer.echo("starting Prefect's server, MLflow's pages and the serving process ...")
    running: dict[str, subprocess.Popen[bytes]] = {}
    with for_mlflow(login) as to_mlflow:
        services = _services(request, login, to_mlflow, prefect_port, mlflow_port)
        try:
            for service in services:
                running[service.name] = launch(service, logs)
            for service in services:
                wait_until_ready(service, running[service.name], logs, stopped)
                if not stopped.is_set():
                    typer.echo(f"the {service.name} is up")
            if not stopped.is_set():
                typer.echo(_welcome(request, login, prefect_port, mlflow_port))
            while not stopped.wait(1.0):
                _require_all_alive(running)
        finally:
            typer.echo("stopping ...")
            # The serving process takes its leave of the server, and would long wait for one that is gone.
            *servers, serving = (running.get(service.name) for service in services)
            for processes in ([serving], servers):
                stop(*(process for process in processes if process))
    typer.echo("stopped; what was done stays done, and `pkd up` goes on from there.")


def _services(
    request: Request,
    login: Login | None,
    to_mlflow: Mapping[str, str],
    prefect_port: int,
    mlflow_port: int,
) -> list[Service]:
    api = _api(prefect_port)
    begun = datetime.now(UTC)
    prefect = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        _HOST,
        "--port",
        str(prefect_port),
    ]
    mlflow = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        _HOST,
        "--port",
        str(mlflow_port),
        "--workers",
        "1",
    ]
    mlflow += ["--backend-store-uri", tracking_uri(request.workspace)]
    mlflow += ["--artifacts-destination", artifact_root(request.workspace)]
    serving = [sys.executable, "-m", "flows.service.serve", json.dumps(request.parameters())]
    at_server = {"PREFECT_API_URL": api}
    if login:
        mlflow += ["--app-name", "basic-auth"]
    to_server = at_server | for_prefect_client(login)
    return [
        Service(
            "Prefect server",
            prefect,
            lambda: answers(f"{api}/health"),
            at_server | for_prefect_server(login),
        ),
        Service("MLflow UI", mlflow, lambda: answers(f"http://{_HOST}:{mlflow_port}/health"), to_mlflow),
        Service("serving process", serving, lambda: _is_registered(api, login, begun), to_server),
    ]


def _is_registered(api: str, login: Login | None, since: datetime) -> bool:
    """Tell whether the deployment was registered after a moment; an older registration has nobody behind it."""
    headers = dict(basic_authorization(login.pair)) if login else {}
    asked = urllib.request.Request(f"{api}/deployments/name/pkd/{DEPLOYMENT}", headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=2) as response:
            deployment: Mapping[str, Any] = json.load(response)
    except OSError:
        return False
    return datetime.fromisoformat(deployment["updated"]) >= since


def _require_all_alive(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            raise PkdError(
                f"the {name} ended with status {process.returncode}; its log is in artifacts/logs."
            )


def _on_signals(call: Callable[[], None]) -> None:
    def handle(_number: int, _frame: FrameType | None) -> None:
        call()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def _api(port: int) -> str:
    return f"http://{_HOST}:{port}/api"


def _welcome(request: Request, login: Login | None, prefect_port: int, mlflow_port: int) -> str:
    api = _api(prefect_port)
    if login:
        access = (
            f"Both ask for {VARIABLE}: MLflow for name and password, Prefect's page for name:password in one."
        )
        # The shell puts the login in, so that it shows neither here nor in the shell's history.
        export = f'\n    export PREFECT_API_AUTH_STRING="${VARIABLE}"'
    else:
        access = f"Anyone on this machine can use both; {VARIABLE}=name:password, set beforehand, gives them a login."
        export = ""
    return f"""
Prefect   {api.removesuffix("/api")}
MLflow    http://{_HOST}:{mlflow_port}/{experiment_page(request.workspace)}
{access}

In another terminal:
    export PREFECT_API_URL={api}{export}
    prefect deployment run pkd/{DEPLOYMENT} --watch

Tasks by default: {", ".join(request.run.tasks)}. Ctrl-C stops all three."""
