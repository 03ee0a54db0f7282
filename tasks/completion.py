"""Completes what MLflow must hold of a published stage, from the stage's files: whatever was logged before.

A run becomes FINISHED last: a finished run lacks nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.errors import StoreError
from pkd_core.store.os_errors import file_errors
from tasks.mlflow_store import Store, ensure_store, store_errors
from tasks.registry import unregister
from tasks.run_contents import (
    RunContents,
    create_run,
    fill_points,
    fill_settings,
    find_finished,
    finish_run,
    finished_runs,
    has_only,
    metrics_at,
)
from tasks.unfinished import PLACE_TAG, fail_others, new_attempt, read_unfinished

if TYPE_CHECKING:
    from mlflow.entities import Run


def complete_run(
    workspace: Path,
    attempt_file: Path,
    contents: RunContents,
    digest: str,
    points: Iterable[tuple[int, Mapping[str, float]]],
    add_files: Callable[[Store, str], None],
    every: int = 1,
) -> None:
    """Finish the run of a published stage, or add to its finished one what that lacks.

    Enter it while holding the stage's lock.

    Args:
        workspace: Folder whose store is used.
        attempt_file: Names the attempt; removed once its run is finished.
        contents: What the run holds from its beginning.
        digest: Hash of the published bytes.
        points: Every metric value by step; read only if they are needed.
        add_files: Logs the stage's files to a run, given the store and the run's id; harmless to repeat.
        every: MLflow gets the losses of every so many steps.

    Raises:
        StoreError: MLflow does not accept it.
    """
    store = ensure_store(workspace)
    with store_errors(contents.name):
        unfinished = read_unfinished(store, attempt_file)
        finished = find_finished(store, contents.fingerprint, digest)
        all_points = [] if finished else list(points)
        if unfinished is not None and (finished or _is_replaced(store, unfinished, all_points)):
            # A damaged stage was built again with equal bytes, which have their run already; or another machine's
            # result is the published one.
            withdraw_run(store, unfinished.info.run_id)
            unfinished = None
        if finished is not None:
            run_id = finished.info.run_id
        elif unfinished is not None:
            run_id = unfinished.info.run_id
        else:
            run_id = create_run(store, contents, new_attempt(attempt_file))
        fill_settings(store, run_id, contents)
        if finished is None:
            fill_points(store, run_id, all_points, every)
        add_files(store, run_id)
        if finished is None:
            finish_run(store, run_id, digest)
        _keep_one(store, contents.fingerprint, digest)
    with file_errors("remove", attempt_file):
        attempt_file.unlink(missing_ok=True)


def _is_replaced(store: Store, run: "Run", points: Sequence[tuple[int, Mapping[str, float]]]) -> bool:
    """Return whether a run is of an attempt of this machine in whose place another machine's result is published.

    On one machine alone, what stands is what its own attempt has published.
    """
    return store.place is not None and not has_only(store, run.info.run_id, points)


def _keep_one(store: Store, fingerprint: str, digest: str) -> None:
    """Where machines share the workspace, delete all finished runs of its published bytes but one, and end the others.

    Two machines may have completed the stage at the same time; both then keep the same run.
    """
    if store.place is None:
        return
    for run in finished_runs(store, fingerprint, digest)[1:]:
        if run.data.tags.get(PLACE_TAG) == store.place:
            withdraw_run(store, run.info.run_id)
    fail_others(store, {fingerprint})


def withdraw_run(store: Store, run_id: str) -> None:
    """Delete a run, which MLflow can restore, with its registered versions."""
    unregister(store, run_id)
    store.client.delete_run(run_id)


def complete_values(
    workspace: Path,
    fingerprint: str,
    digest: str,
    values: Mapping[str, float],
    add_more: Callable[[Store, "Run"], None],
) -> None:
    """Add what an evaluation found to the finished run of its model, whose tables then show it.

    A value that is the metric's last one already is not logged again.

    Args:
        workspace: Folder whose store is used.
        fingerprint: The model's stage.
        digest: Hash of the model's published bytes.
        values: Final values, such as the score of the best epoch.
        add_more: Logs what else there is of the evaluation, given the store and the run; harmless to repeat.

    Raises:
        StoreError: MLflow does not accept it, or has no such run.
    """
    store = ensure_store(workspace)
    with store_errors(f"the scores of {fingerprint}"):
        run = find_finished(store, fingerprint, digest)
        if run is None:
            raise StoreError(
                f"MLflow has no finished run of the model {fingerprint}; run again to complete it."
            )
        for metric in metrics_at(0, missing_values(run, values)):
            history = store.client.get_metric_history(run.info.run_id, metric.key)
            # Of two values at one step the later one counts, and clocks of two machines may differ.
            after = max((point.timestamp + 1 for point in history), default=0)
            store.client.log_metric(
                run.info.run_id, metric.key, metric.value, max(metric.timestamp, after), metric.step
            )
        add_more(store, run)


def missing_values(run: "Run", values: Mapping[str, float]) -> dict[str, float]:
    """Return those of the final values that a run does not show."""
    return {name: value for name, value in values.items() if run.data.metrics.get(name) != float(value)}
