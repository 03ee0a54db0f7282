"""What MLflow's server keeps its data in: the workspace's own store, or one that belongs to the server alone."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pkd_core.errors import ConfigError
from tasks.mlflow_store import artifact_root, ensure_store, make_database, tracking_uri

_SECONDS = 60


@dataclass(frozen=True)
class Backend:
    """What MLflow's server keeps its data in.

    Attributes:
        database: SQLAlchemy's address of a database, which may contain a password.
        artifacts: Address of the folder or bucket for files that clients send to the server.
        is_of_server: Whether only the server opens it, and every run sends its data to the server. Otherwise runs in
            the workspace open it too, and no other machine can.
    """

    database: str = field(repr=False)
    artifacts: str
    is_of_server: bool


def workspace_backend(workspace: Path) -> Backend:
    """Return the workspace's own store, which is made where there is none.

    Raises:
        StoreError: It cannot be opened.
    """
    ensure_store(workspace)
    return Backend(tracking_uri(workspace), artifact_root(workspace), is_of_server=False)


def server_backend(workspace: Path, database: str | None, artifacts: str | None) -> Backend:
    """Return a store of the server's own.

    Args:
        workspace: Keeps what is not given: a SQLite database, and a folder of files.
        database: SQLAlchemy's address of a database, which the server creates or migrates.
        artifacts: Folder, or address such as "s3://bucket/prefix".

    Raises:
        StoreError: The SQLite database cannot be made.
    """
    own = workspace.resolve() / "artifacts" / "mlflow-server"
    if database is None:
        make_database(own / "mlflow.db")
        database = f"sqlite:///{own / 'mlflow.db'}"
    if artifacts is None or "://" not in artifacts:
        artifacts = (Path(artifacts).expanduser() if artifacts else own / "files").resolve().as_uri()
    return Backend(database, artifacts, is_of_server=True)


def check_keeps_files(mlflow: str, backend: Backend, headers: Mapping[str, str]) -> None:
    """Send a small file to a running server, and delete it again.

    Args:
        mlflow: The server's address.
        backend: For the message.
        headers: Log the request in.

    Raises:
        ConfigError: The server cannot keep it.
    """
    url = f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/pkd-check-{uuid4().hex}"
    try:
        for method, content in (("PUT", b"pkd"), ("DELETE", None)):
            request = urllib.request.Request(url, content, dict(headers), method=method)
            urllib.request.urlopen(request, timeout=_SECONDS).close()
    except (urllib.error.URLError, OSError) as error:
        raise ConfigError(
            f"MLflow's server needs {backend.artifacts} to keep files in, and could not write there ({error}): check "
            "that it exists and that the credentials are right; the server's log is in artifacts/logs."
        ) from None
