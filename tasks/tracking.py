"""A stage's MLflow run while it is being computed; `completion` finishes it after the stage is published."""

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.errors import PkdError, StoreError
from pkd_core.runtime.observer import Observer
from tasks.mlflow_store import Store, ensure_store, store_errors
from tasks.run_contents import (
    METRICS_PER_CALL,
    RunContents,
    create_run,
    fill_settings,
    logged_steps,
    metrics_at,
    thinned,
)
from tasks.unfinished import fail_if_running, fail_others, mark_failed, new_attempt, read_unfinished, reopen

if TYPE_CHECKING:
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)

_STEPS_PER_BATCH = 20
_SECONDS_PER_BATCH = 5.0
# A store that does not answer costs at most a part of the training's time.
_PATIENCE = 20


class TrackedRun:
    """An open MLflow run as an Observer; it collects metrics and sends them every 20 steps or 5 seconds.

    A batch that cannot be sent is kept and sent with a later one: a training continues while the store is unavailable.

    Args:
        store: Where the run is.
        run_id: MLflow's id of the run.
        progress_to: Observer of progress and metrics, which shows them.
        logged: The steps of each metric that the run has already; they are not sent again.
        every: The losses of every so many steps are sent.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        progress_to: Observer,
        logged: Mapping[str, Collection[int]],
        every: int = 1,
    ) -> None:
        self.run_id = run_id
        self._every = every
        self._logged = logged
        self._store = store
        self._progress_to = progress_to
        self._unsent: list[Metric] = []
        self._num_steps = 0
        self._last_sent = time.monotonic()
        self._no_retry_before = 0.0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Collect metric values to be sent, and forward them to the observer that shows them."""
        self._progress_to.metrics(step, values)
        wanted = thinned(step, values, self._every)
        new = {name: value for name, value in wanted.items() if step not in self._logged.get(name, ())}
        self._unsent += metrics_at(step, new)
        self._num_steps += 1
        if self._num_steps >= _STEPS_PER_BATCH or time.monotonic() - self._last_sent >= _SECONDS_PER_BATCH:
            self.flush()

    def progress(self, done: int, total: int, unit: str) -> None:
        """Forward progress to the observer that shows it."""
        self._progress_to.progress(done, total, unit)

    def flush(self) -> None:
        """Send what was not sent yet; log a warning if the store is unavailable, and leave it alone for a while."""
        start = time.monotonic()
        if start < self._no_retry_before:
            return
        self._num_steps = 0
        self._last_sent = start
        try:
            self._send()
        except StoreError as error:
            now = time.monotonic()
            self._no_retry_before = now + _PATIENCE * (now - start)
            logger.warning("%s", error)

    def _send(self) -> None:
        while batch := self._unsent[:METRICS_PER_CALL]:
            with store_errors(self.run_id):
                self._store.client.log_batch(self.run_id, metrics=batch)
            self._unsent = self._unsent[len(batch) :]


@contextmanager
def tracked_run(
    workspace: Path,
    attempt_file: Path,
    contents: RunContents,
    progress_to: Observer,
    resumes: bool,
    every: int = 1,
) -> Iterator[TrackedRun]:
    """Open a stage's run while the stage is computed; it stays RUNNING, or ends FAILED with the error as a tag.

    Enter it while holding the stage's lock: an unfinished run of the file's attempt then belongs to a process that has
    died. It is continued, or replaced and marked as failed. Another machine's run of the stage is never continued, for
    its process may be alive and log to it again.

    Args:
        workspace: Folder whose store is used.
        attempt_file: Names the attempt while its run is not finished.
        contents: What the run holds from its beginning.
        progress_to: Observer of progress.
        resumes: Whether the stage continues from a checkpoint.
        every: MLflow gets the losses of every so many steps.

    Raises:
        StoreError: The store cannot be opened, or does not accept the run.
    """
    store = ensure_store(workspace)
    with store_errors(contents.name):
        before = read_unfinished(store, attempt_file)
        if resumes and before is not None:
            run_id = reopen(store, before)
        else:
            fail_if_running(store, before)
            run_id = create_run(store, contents, new_attempt(attempt_file))
        # Whoever holds the stage's lease has taken it over from them.
        fail_others(store, {contents.fingerprint}, own=run_id)
        logged = logged_steps(store, run_id)
    run = TrackedRun(store, run_id, progress_to, logged, every)
    try:
        with store_errors(contents.name):
            fill_settings(store, run_id, contents)
        yield run
    except BaseException as error:
        _end_failed(store, run, error)
        raise
    run.flush()


def _end_failed(store: Store, run: TrackedRun, error: BaseException) -> None:
    sentence = str(error) if isinstance(error, PkdError) else f"{type(error).__name__}: {error}".rstrip(": ")
    for log in (run.flush, partial(mark_failed, store, run.run_id, sentence)):
        # The run's own error is raised; one of the store is only logged.
        try:
            log()
        except StoreError as store_error:
            logger.warning("%s", store_error)
