"""MLflow runs of trainings that did not finish: marks them as failed, or reopens them."""

from typing import TYPE_CHECKING

from tasks.mlflow_store import Store, store_errors

if TYPE_CHECKING:
    from mlflow.entities import Run

_SENTENCE_LENGTH = 5000


def unfinished_runs(store: Store, fingerprint: str, home: str) -> "list[Run]":
    """Return a stage's runs in this workspace that have not finished, the newest first."""
    runs = store.client.search_runs(
        [store.experiment_id],
        f"tags.fingerprint = '{fingerprint}' and attributes.status != 'FINISHED'",
        order_by=["attributes.start_time DESC"],
    )
    return [run for run in runs if run.data.tags.get("workspace") == home]


def fail_abandoned(store: Store, runs: "list[Run]") -> None:
    """Mark those of the runs as failed that are still RUNNING although their process has died."""
    for run in runs:
        if run.info.status == "RUNNING":
            mark_failed(store, run.info.run_id, "The process died; a later run replaced this one.")


def reopen(store: Store, run: "Run") -> str:
    """Set a run to RUNNING again, and return its id."""
    run_id: str = run.info.run_id
    store.client.update_run(run_id, status="RUNNING")
    if "error" in run.data.tags:
        store.client.delete_tag(run_id, "error")
    return run_id


def last_steps(store: Store, run: "Run | None") -> dict[str, int]:
    """Return the last step of each metric that a run has."""
    if run is None:
        return {}
    histories = {name: store.client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {name: max(metric.step for metric in history) for name, history in histories.items()}


def mark_failed(store: Store, run_id: str, sentence: str) -> None:
    """End a run as failed, with the reason as its tag "error"."""
    with store_errors(run_id):
        store.client.set_tag(run_id, "error", sentence[:_SENTENCE_LENGTH])
        store.client.set_terminated(run_id, "FAILED")
