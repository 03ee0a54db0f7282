"""An MLflow server of a test's own, on loopback, as `pkd up` runs it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.service.databases import MLFLOW_VARIABLE, with_driver
from flows.service.login import mlflow_client_environment, mlflow_environment, random_login
from flows.service.mlflow_backend import server_backend
from flows.service.processes import launch, stop, wait_until_ready
from flows.service.services import Servers, mlflow_service


@contextmanager
def mlflow_server(folder: Path, database: str | None = None) -> Iterator[dict[str, str]]:
    """Run a server while the body runs, and yield the variables with which pkd finds it.

    Args:
        folder: Keeps its files and log, and its SQLite database if no other is given.
        database: Address of a database of Postgres.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = with_driver(MLFLOW_VARIABLE, database).render_as_string(hide_password=False) if database else None
    servers = Servers(1, port, random_login())
    with mlflow_environment(servers.login) as environment:
        service = mlflow_service(servers, server_backend(folder, url, None), environment)
        process = launch(service, folder / "logs")
        try:
            wait_until_ready(service, process, folder / "logs", threading.Event())
            yield mlflow_client_environment(servers.mlflow, servers.login)
        finally:
            stop(process)
