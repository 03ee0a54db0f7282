"""One MLflow run for each trained model and each report."""

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkd_core.errors import PkdError, StoreError
from pkd_core.runtime.observer import Observer
from tasks.mlflow_store import Store, ensure_store, store_errors
from tasks.unfinished import fail_abandoned, last_steps, mark_failed, reopen, unfinished_runs

if TYPE_CHECKING:
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)

_STEPS_PER_BATCH = 20
_SECONDS_PER_BATCH = 5.0
# MLflow's own limits: of one call, and of one value in characters.
_METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100
_PARAM_LENGTH = 6000
_TAG_LENGTH = 5000
_DIGEST_LENGTH = 36


class TrackedRun:
    """An open MLflow run as an Observer; it collects metrics and sends them every 20 steps or 5 seconds.

    A batch that cannot be sent is kept and sent with the next one: a training continues while the store is unavailable.

    Attributes:
        run_id: MLflow's id of the run.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        progress_to: Observer | None = None,
        last_steps: Mapping[str, int] | None = None,
    ) -> None:
        self.run_id = run_id
        self._last_steps = last_steps or {}
        self._store = store
        self._progress_to = progress_to
        self._unsent: list[Metric] = []
        self._num_steps = 0
        self._last_sent = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Collect metric values to be sent, at the latest when the run ends.

        Values that the run has already, from before it was interrupted, are not sent again.
        """
        new = {name: value for name, value in values.items() if step > self._last_steps.get(name, -1)}
        self._unsent += _metrics(step, new)
        self._num_steps += 1
        if self._num_steps >= _STEPS_PER_BATCH or time.monotonic() - self._last_sent >= _SECONDS_PER_BATCH:
            self.flush()

    def progress(self, done: int, total: int, unit: str) -> None:
        """Forward progress to the observer that shows it."""
        if self._progress_to:
            self._progress_to.progress(done, total, unit)

    def flush(self) -> None:
        """Send what was not sent yet; log a warning if the store is unavailable."""
        try:
            self.send()
        except StoreError as error:
            logger.warning("%s", error)

    def send(self) -> None:
        """Send what was not sent yet.

        Raises:
            StoreError: MLflow does not accept it; it is kept.
        """
        self._num_steps = 0
        self._last_sent = time.monotonic()
        while batch := self._unsent[:_METRICS_PER_CALL]:
            with store_errors(self.run_id):
                self._store.client.log_batch(self.run_id, metrics=batch)
            self._unsent = self._unsent[len(batch) :]


@contextmanager
def tracked_run(
    workspace: Path,
    *,
    name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    datasets: Mapping[str, str],
    progress_to: Observer | None = None,
    resumes: bool = False,
) -> Iterator[TrackedRun]:
    """Open a run that ends FINISHED, or FAILED with the error as a tag.

    Enter it while holding the stage's lock: a run of the same fingerprint that is still RUNNING then belongs to a
    process that has died, and is marked FAILED.

    Args:
        workspace: Folder whose store is used.
        name: Shown in lists, such as "rte/pkd-skip-3l".
        tags: To find runs by: task, method, layers, seed, fingerprint, flow_run.
        params: Settings by their dotted keys; values too long for MLflow are cut.
        datasets: Digest of each input, by its name.
        progress_to: Observer of progress.
        resumes: Reopen the newest run of the same fingerprint that did not finish, if there is one.

    Raises:
        StoreError: The store cannot be opened, or did not accept all that was logged.
    """
    store = ensure_store(workspace)
    home = f"{socket.gethostname()}:{workspace.resolve()}"
    with store_errors(name):
        unfinished = unfinished_runs(store, tags.get("fingerprint", ""), home)
        resumed = unfinished.pop(0) if resumes and unfinished else None
        fail_abandoned(store, unfinished)
        run_id = (
            reopen(store, resumed)
            if resumed
            else store.client.create_run(
                store.experiment_id, run_name=name, tags={**_tags(tags), "workspace": home}
            ).info.run_id
        )
    with store_errors(name):
        run = TrackedRun(store, run_id, progress_to, last_steps(store, resumed))
    try:
        with store_errors(name):
            if resumed is None:
                _log_params(store, run_id, params)
                _log_datasets(store, run_id, datasets)
        yield run
        run.send()
    except BaseException as error:
        _end_failed(store, run, error)
        raise
    with store_errors(name):
        store.client.set_terminated(run_id, "FINISHED")


def find_run(workspace: Path, fingerprint: str) -> str | None:
    """Return the id of the newest FINISHED run of a stage, or None."""
    store = ensure_store(workspace)
    with store_errors(fingerprint):
        runs = store.client.search_runs(
            [store.experiment_id],
            f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    return runs[0].info.run_id if runs else None


def log_values(workspace: Path, run_id: str, values: Mapping[str, float]) -> None:
    """Log final values of an ended run, such as the score of its best epoch, which tables then show.

    Each is logged at the last step of its metric, unless it is the metric's last value already.

    Raises:
        StoreError: MLflow does not accept them.
    """
    store = ensure_store(workspace)
    with store_errors(run_id):
        for key, value in values.items():
            history = store.client.get_metric_history(run_id, key)
            last = max(history, key=lambda metric: (metric.step, metric.timestamp), default=None)
            if last is None or last.value != value:
                # Of two values at one step the later one counts, and clocks of two machines may differ.
                after = last.timestamp + 1 if last else 0
                store.client.log_metric(
                    run_id, key, float(value), max(_now(), after), step=last.step if last else 0
                )


def log_report(
    workspace: Path,
    folder: Path,
    *,
    name: str,
    tags: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    scores: Mapping[str, float],
) -> str:
    """Log a report as a run, unless it has one.

    Args:
        workspace: Folder whose store is used.
        folder: Published report, with report.md, report.json and report.png.
        name: Shown in lists, such as "report/rte".
        tags: As for `tracked_run`; a report's run is found by the fingerprint.
        rows: The report's table; all rows have the same keys.
        scores: Key metrics, by "<task>/<method>" such as "RTE/pkd-skip-3l".

    Returns:
        The run's id.

    Raises:
        StoreError: MLflow does not accept the report.
    """
    if run_id := find_run(workspace, tags["fingerprint"]):
        return run_id
    with tracked_run(workspace, name=name, tags=tags, params={}, datasets={}) as run:
        store = ensure_store(workspace)
        with store_errors(name):
            for path in sorted(folder.glob("report.*")):
                store.client.log_artifact(run.run_id, str(path))
            if rows:
                table = {key: [row[key] for row in rows] for key in rows[0]}
                store.client.log_table(run.run_id, table, "table.json")
        run.metrics(0, scores)
    return run.run_id


def _metrics(step: int, values: Mapping[str, float]) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(key, float(value), _now(), step) for key, value in values.items()]


def _now() -> int:
    return int(time.time() * 1000)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: str(value)[:_TAG_LENGTH] for key, value in tags.items()}


def _log_params(store: Store, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    entities = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in params.items()]
    for start in range(0, len(entities), _PARAMS_PER_CALL):
        store.client.log_batch(run_id, params=entities[start : start + _PARAMS_PER_CALL])


def _log_datasets(store: Store, run_id: str, datasets: Mapping[str, str]) -> None:
    """Log a run's inputs; retry when MLflow fails because another run logs one of them at the same moment."""
    from mlflow.entities import Dataset, DatasetInput
    from mlflow.exceptions import MlflowException

    inputs = [
        DatasetInput(
            Dataset(name, digest[:_DIGEST_LENGTH], source_type="pkd", source=json.dumps({"uri": name}))
        )
        for name, digest in datasets.items()
    ]
    for retries_left in reversed(range(len(inputs) + 1)):
        try:
            store.client.log_inputs(run_id, datasets=inputs)
            return
        except MlflowException:
            if not retries_left:
                raise


def _end_failed(store: Store, run: TrackedRun, error: BaseException) -> None:
    sentence = str(error) if isinstance(error, PkdError) else f"{type(error).__name__}: {error}".rstrip(": ")
    for log in (run.send, partial(mark_failed, store, run.run_id, sentence)):
        # The run's own error is raised; one of the store is only logged.
        try:
            log()
        except StoreError as store_error:
            logger.warning("%s", store_error)
