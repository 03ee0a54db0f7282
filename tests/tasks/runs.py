"""MLflow runs as the tests create and read them."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from pkd_core.runtime.observer import LogObserver, Observer
from tasks.completion import complete_run
from tasks.mlflow_store import Store
from tasks.run_contents import RunContents
from tasks.tracking import TrackedRun, tracked_run

Points = list[tuple[int, Mapping[str, float]]]


def contents_of(fingerprint: str, **more: Any) -> RunContents:
    tags = {"task": "RTE", "method": "pkd-skip", "layers": "3", "seed": "42", "fingerprint": fingerprint}
    values: dict[str, Any] = {"name": "rte/pkd-skip-3l", "tags": tags, "params": {}, "datasets": {}}
    return RunContents(**(values | more))


def file_of(workspace: Path, fingerprint: str) -> Path:
    return workspace / "artifacts" / "RTE" / ".work" / f"pkd-skip-3l-{fingerprint}.mlflow.json"


@contextmanager
def tracked(
    workspace: Path,
    fingerprint: str,
    resumes: bool = False,
    progress_to: Observer | None = None,
    every: int = 1,
    **more: Any,
) -> Iterator[TrackedRun]:
    """Open the run of a stage that is being computed."""
    file, contents = file_of(workspace, fingerprint), contents_of(fingerprint, **more)
    observer = progress_to or LogObserver(fingerprint)
    with tracked_run(workspace, file, contents, observer, resumes, every) as run:
        yield run


def complete(
    workspace: Path,
    fingerprint: str,
    points: Points | None = None,
    digest: str = "d1",
    every: int = 1,
    **more: Any,
) -> list[str]:
    """Finish the run of a published stage; return the ids of the runs whose files were logged: one or none."""
    logged: list[str] = []

    def add_files(_: Store, run_id: str) -> None:
        logged.append(run_id)

    contents = contents_of(fingerprint, **more)
    complete_run(workspace, file_of(workspace, fingerprint), contents, digest, points or [], add_files, every)
    return logged


def finished(workspace: Path, fingerprint: str, points: Points | None = None, **more: Any) -> str:
    """Create a finished run, and return its id."""
    with tracked(workspace, fingerprint, **more) as run:
        pass
    complete(workspace, fingerprint, points, **more)
    return run.run_id


def history(store: Store, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in store.client.get_metric_history(run_id, key)]


def runs_of(store: Store, fingerprint: str) -> dict[str, str]:
    """Return the status of each run of a fingerprint by its id."""
    runs = store.client.search_runs([store.experiment_id], f"tags.fingerprint = '{fingerprint}'")
    return {run.info.run_id: run.info.status for run in runs}


def run_of(store: Store, fingerprint: str) -> Run:
    (run,) = store.client.search_runs([store.experiment_id], f"tags.fingerprint = '{fingerprint}'")
    return run


@contextmanager
def table_unavailable(workspace: Path, table: str = "metrics") -> Iterator[None]:
    """Make the store refuse a table for a while, as a database under repair does."""

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(workspace / "artifacts" / "mlflow.db")) as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename(table, f"{table}_away")
    try:
        yield
    finally:
        rename(f"{table}_away", table)
