"""MLflow's store: by default a SQLite database and a folder inside the workspace."""

import json
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkd_core.errors import StoreError
from pkd_core.store.atomic import durable_rename, fsync_tree, partial_path
from pkd_core.store.attached import place_of
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

EXPERIMENT = "pkd"
_PER_CALL = 1000
_SERVERS = ("http://", "https://")
# By itself MLflow's page of runs shows no metric. A view that somebody shares is kept as a tag of the experiment, under
# a key that is part of the shared address.
_SHARED_VIEW = "mlflow.sharedViewState."
_VIEW = "pkd"
_RUNS_VIEW = {
    "selectedColumns": [
        "metrics.`score`",
        "metrics.`speed_ratio`",
        "metrics.`parameters`",
        "tags.`task`",
        "tags.`method`",
        "tags.`layers`",
        "tags.`seed`",
        "tags.`base_model`",
        "attributes.`Models`",
    ],
    "orderByKey": "metrics.`score`",
    "orderByAsc": False,
    "viewMaximized": True,
}
# MLflow reads these from the environment: few retries, no telemetry, no progress bars, no addresses on the terminal.
_SETTINGS = {
    "GIT_PYTHON_REFRESH": "quiet",
    # By default a request is repeated for four minutes. What is not sent now is sent later, or by the next run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        client: Its client.
        experiment_id: The experiment that holds every run of pkd.
        place: Address of the place that the workspace shares with other machines; None for one of this machine alone.
    """

    client: "MlflowClient"
    experiment_id: str
    place: str | None = None


def tracking_uri(workspace: Path) -> str:
    """Return MLFLOW_TRACKING_URI where it is set, else the address of the workspace's own database.

    Raises:
        StoreError: SQLite cannot address the workspace's path.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    database = _database(workspace)
    if set(str(database)) & set("%?#"):
        raise StoreError(
            f"MLflow needs a workspace path without any of % ? #, got {workspace.resolve()}; "
            "rename the folder, or set MLFLOW_TRACKING_URI."
        )
    return f"sqlite:///{database}"


def artifact_root(workspace: Path) -> str:
    """Return the address of the folder for the files of runs and models, as a file URI."""
    return (workspace.resolve() / "artifacts" / "mlflow-files").as_uri()


def experiment_page(workspace: Path) -> str:
    """Return the path of the page of all runs with their scores, relative to the address of MLflow's server."""
    store = ensure_store(workspace)
    with store_errors("the columns of its runs page"):
        store.client.set_experiment_tag(store.experiment_id, f"{_SHARED_VIEW}{_VIEW}", json.dumps(_RUNS_VIEW))
    # MLflow opens in its GenAI mode, which does not show trained models.
    mode = "workflowType=machine_learning"
    return f"#/experiments/{store.experiment_id}/runs?{mode}&viewStateShareKey={_VIEW}"


def ensure_store(workspace: Path) -> Store:
    """Open the store; create or migrate its database, and create the experiment, where needed.

    One process at a time: several that migrate an empty database at once fail.

    Raises:
        StoreError: The store cannot be opened, or was created when the workspace was elsewhere, or the workspace is
            shared by several machines and the store is not.
    """
    place, uri = _shared_place(workspace), tracking_uri(workspace)
    lock = workspace.resolve() / "artifacts" / "mlflow.lock"
    with file_errors("lock", lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
    with hold(lock, "MLflow's store"):
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return _open(uri, None, place)
        make_database(_database(workspace))
        _check_database(_database(workspace))
        return _open(uri, artifact_root(workspace), None)


def find_client(workspace: Path) -> "MlflowClient | None":
    """Return a client of the store; None where the workspace has no database, which opening it would create.

    Raises:
        StoreError: SQLite cannot address the workspace's path, or read the database, or the workspace is shared by
            several machines and the store is not.
    """
    _shared_place(workspace)
    database = _database(workspace)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        if not (database.is_file() and database.stat().st_size):
            return None
        _check_database(database)
    return _client(tracking_uri(workspace))


def all_pages(search: Callable[..., Any], *conditions: Any) -> Iterator[Any]:
    """Yield everything that a search of MLflow's client finds, which returns pages.

    Args:
        search: One of its methods.
        conditions: Its arguments.
    """
    token = None
    while True:
        page = search(*conditions, max_results=_PER_CALL, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def store_errors(name: str, action: str = "log") -> Iterator[None]:
    """Turn MLflow's and the system's errors of the body into a StoreError.

    Args:
        name: What the body logs, such as "rte/pkd-skip-3l".
        action: What the body does with it.

    Raises:
        StoreError: MLflow or the system failed; names what was to be logged, the store's answer, and what to do.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # which MLflow raises when it creates a database

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        answer = _without_login(cause)
        raise StoreError(
            f"MLflow needs to {action} {name}, but its store answers '{answer}'; {_advice(answer)}."
        ) from error


def _advice(answer: str) -> str:
    """Return what to do after a failed request."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(_SERVERS):
        return "check the store and run again"
    if "error code 401" in answer:
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to the login of its server"
    return f"check its server at {_without_login(uri)}, which MLFLOW_TRACKING_URI names, and run again"


def _without_login(error: BaseException | str) -> str:
    """Return an error's message in one line, without the login that a quoted address may contain."""
    return re.sub(r"//[^/\s]*@", "//", " ".join(str(error).split()))


def _database(workspace: Path) -> Path:
    return workspace.resolve() / "artifacts" / "mlflow.db"


def make_database(path: Path) -> None:
    """Create MLflow's database where there is none: under a temporary name, as half of one would be of no use.

    Raises:
        StoreError: MLflow or the disk refuses.
    """
    if path.exists() and path.stat().st_size:
        return
    partial = partial_path(path)
    with file_errors("write", partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f"{partial.name}*"):
            leftover.unlink()
        with store_errors(f"to a new database {path}"):
            _client(f"sqlite:///{partial}").search_experiments(max_results=1)
        fsync_tree(partial)
        durable_rename(partial, path)


def _check_database(path: Path) -> None:
    # MLflow itself would retry for 100 seconds before it raises that a database cannot be opened.
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        is_corrupted = error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
        advice = "move the file away for a new one" if is_corrupted else "check the disk and run again"
        raise StoreError(
            f"MLflow needs a readable database at {path}, but SQLite answers '{error}'; "
            f"{advice}, or set MLFLOW_TRACKING_URI."
        ) from error


def _client(uri: str) -> "MlflowClient":
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # Whatever matters in their logs is raised, too.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(uri, registry_uri=uri)


def _shared_place(workspace: Path) -> str | None:
    """Return the address of the place that a workspace shares with other machines, after a check that MLflow is shared.

    Raises:
        StoreError: Its runs would go into a store that other machines do not see.
    """
    place = place_of(workspace)
    if place is None:
        return None
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(_SERVERS):
        got = f"got {_without_login(uri)}" if uri else "it is not set"
        raise StoreError(
            f"the workspace {place.url} needs an MLflow server that all of its machines reach, and {got}: set "
            "MLFLOW_TRACKING_URI to its address, such as http://10.0.0.1:5000 (pkd up --host starts one)."
        )
    return place.url


def _open(uri: str, artifacts: str | None, place: str | None) -> Store:
    with store_errors(f"experiment {EXPERIMENT}"):
        client = _client(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT) or _new_experiment(client, artifacts)
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
    if artifacts and experiment.artifact_location != artifacts:
        raise StoreError(
            f"MLflow's files were created at {experiment.artifact_location}, expected at {artifacts}: move the "
            "workspace back, or move its artifacts/mlflow.db away: the next run fills a new one."
        )
    return Store(client, experiment.experiment_id, place)


def _new_experiment(client: "MlflowClient", artifacts: str | None) -> "Experiment":
    """Create the experiment, or return the one that another machine created at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
    except MlflowException:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            raise
        return experiment
