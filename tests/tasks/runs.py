"""MLflow runs as the tests create and read them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from tasks.mlflow_store import Store


def settings(fingerprint: str, **more: Any) -> dict[str, Any]:
    tags = {"task": "RTE", "method": "pkd-skip", "layers": "3", "seed": "42", "fingerprint": fingerprint}
    return {"name": "rte/pkd-skip-3l", "tags": tags, "params": {}, "datasets": {}} | more


def history(store: Store, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in store.client.get_metric_history(run_id, key)]


def run_of(store: Store, fingerprint: str) -> Run:
    (run,) = store.client.search_runs([store.experiment_id], f"tags.fingerprint = '{fingerprint}'")
    return run


@contextmanager
def metrics_unavailable(workspace: Path) -> Iterator[None]:
    """Make the store refuse metrics for a while, as a database under repair does."""

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(workspace / "artifacts" / "mlflow.db")) as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("metrics", "metrics_away")
    try:
        yield
    finally:
        rename("metrics_away", "metrics")
