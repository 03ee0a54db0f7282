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
from flows.serve import DEPLOYMENT
from flows.services import Service, launch, require_free_port, stop, wait_until_ready
from pkd_core.errors import PkdError
from tasks.mlflow_store import artifact_root, ensure_store, experiment_page, tracking_uri

_HOST = "127.0.0.1"


def serve_until_stopped(request: Request, prefect_port: int, mlflow_port: int) -> None:
    """Start the three services, say their addresses, and stop them all at Ctrl-C or SIGTERM.

    Raises:
        PkdError: A port is taken, or a service does not start.
    """
    require_free_port("Prefect server", prefect_port)
    require_free_port("MLflow UI", mlflow_port)
    api = f"http://{_HOST}:{prefect_port}/api"
    logs = request.workspace.resolve() / "artifacts" / "logs"
    ensure_store(request.workspace)
    stopped = threading.Event()
    _on_signals(stopped.set)
    typer.echo("starting Prefect's server, MLflow's pages and the serving process ...")
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        services = _services(request, api, prefect_port, mlflow_port)
        for service in services:
            running[service.name] = launch(service, logs)
        for service in services:
            wait_until_ready(service, running[service.name], logs, stopped)
            if not stopped.is_set():
                typer.echo(f"the {service.name} is up")
        if not stopped.is_set():
            typer.echo(_welcome(request, api, mlflow_port))
        while not stopped.wait(1.0):
            _require_all_alive(running)
    finally:
        typer.echo("stopping ...")
        stop(*running.values())
    typer.echo("stopped; what was done stays done, and `pkd up` goes on from there.")


def _services(request: Request, api: str, prefect_port: int, mlflow_port: int) -> list[Service]:
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
    serving = [sys.executable, "-m", "flows.serve", json.dumps(request.parameters())]
    to_server = {"PREFECT_API_URL": api}
    return [
        Service("Prefect server", prefect, lambda: answers(f"{api}/health"), to_server),
        Service("MLflow UI", mlflow, lambda: answers(f"http://{_HOST}:{mlflow_port}/health"), {}),
        Service("serving process", serving, lambda: _is_registered(api, begun), to_server),
    ]


def _is_registered(api: str, since: datetime) -> bool:
    """Tell whether the deployment was registered after a moment; an older registration has nobody behind it."""
    try:
        with urllib.request.urlopen(f"{api}/deployments/name/pkd/{DEPLOYMENT}", timeout=2) as response:
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


def _welcome(request: Request, api: str, mlflow_port: int) -> str:
    return f"""
Prefect   {api.removesuffix("/api")}
MLflow    http://{_HOST}:{mlflow_port}/{experiment_page(request.workspace)}

In another terminal:
    export PREFECT_API_URL={api}
    prefect deployment run pkd/{DEPLOYMENT} --watch

Tasks by default: {", ".join(request.run.tasks)}. Ctrl-C stops all three."""
