"""What an MLflow run holds, and how it is filled in: each call adds only what is missing, so it may be repeated."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pkd_core.pipeline.stage import Stage
from tasks.mlflow_store import Store, all_pages
from tasks.unfinished import ATTEMPT_TAG, PLACE_TAG

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

# MLflow's own limits: of one call, and of one value in characters.
METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100
_PARAM_LENGTH = 6000
_TAG_LENGTH = 5000
_DIGEST_LENGTH = 36
DIGEST_TAG = "digest"


@dataclass(frozen=True)
class RunContents:
    """What a run holds from its beginning.

    Attributes:
        name: Shown in lists, such as "rte/pkd-skip-3l-s42".
        tags: To find runs by: task, method, layers, seed, base model, fingerprint, flow run.
        params: Settings by their dotted keys; values too long for MLflow are cut.
        datasets: Digest of each input, by its name.
    """

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    datasets: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the stage depends on."""
        return self.tags["fingerprint"]


def run_name(stage: Stage) -> str:
    """Return the name of a stage's run, such as "rte/pkd-skip-3l-s42"."""
    return f"{stage.task.lower()}/{stage.name}"


def create_run(store: Store, contents: RunContents, attempt: str | None = None) -> str:
    """Create a run with its tags, of an attempt if one is named, and return its id."""
    named = {ATTEMPT_TAG: attempt} if attempt else {}
    if store.place:
        named[PLACE_TAG] = store.place
    run = store.client.create_run(
        store.experiment_id, run_name=contents.name, tags=_cut_tags(contents) | named
    )
    run_id: str = run.info.run_id
    return run_id


def fill_settings(store: Store, run_id: str, contents: RunContents) -> None:
    """Log the tags, parameters and datasets that a run lacks; runs of earlier versions of pkd have fewer tags."""
    from mlflow.entities import Param

    run = store.client.get_run(run_id)
    for key, value in _cut_tags(contents).items():
        if key not in run.data.tags:
            store.client.set_tag(run_id, key, value)
    missing = [
        Param(key, str(value)[:_PARAM_LENGTH])
        for key, value in contents.params.items()
        if key not in run.data.params
    ]
    for start in range(0, len(missing), _PARAMS_PER_CALL):
        store.client.log_batch(run_id, params=missing[start : start + _PARAMS_PER_CALL])
    logged = {one.dataset.name for one in run.inputs.dataset_inputs} if run.inputs else set()
    _log_datasets(
        store, run_id, {name: digest for name, digest in contents.datasets.items() if name not in logged}
    )


def fill_points(
    store: Store, run_id: str, points: Iterable[tuple[int, Mapping[str, float]]], every: int = 1
) -> None:
    """Log the metric values that a run lacks, each at its step; see `thinned` for `every`."""
    steps = logged_steps(store, run_id)
    missing = [
        one
        for step, values in points
        for one in metrics_at(
            step,
            {
                name: value
                for name, value in thinned(step, values, every).items()
                if step not in steps.get(name, ())
            },
        )
    ]
    for start in range(0, len(missing), METRICS_PER_CALL):
        store.client.log_batch(run_id, metrics=missing[start : start + METRICS_PER_CALL])


def thinned(step: int, values: Mapping[str, float], every: int) -> Mapping[str, float]:
    """Return what MLflow gets of a step's values: of losses those of every so many steps, of dev scores all.

    >>> thinned(7, {"train/total": 0.5, "dev/accuracy": 0.9}, every=10)
    {'dev/accuracy': 0.9}
    """
    if step % every == 0:
        return values
    return {name: value for name, value in values.items() if not name.startswith("train/")}


def logged_steps(store: Store, run_id: str) -> dict[str, set[int]]:
    """Return the steps of each metric that a run has."""
    names = store.client.get_run(run_id).data.metrics
    histories = {name: store.client.get_metric_history(run_id, name) for name in names}
    return {name: {metric.step for metric in history} for name, history in histories.items()}


def has_only(store: Store, run_id: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> bool:
    """Return whether every metric value that a run has is among some points; it may lack others."""
    expected = {(name, step): float(value) for step, values in points for name, value in values.items()}
    return all(
        expected.get((name, point.step)) == point.value
        for name in store.client.get_run(run_id).data.metrics
        for point in store.client.get_metric_history(run_id, name)
    )


def finish_run(store: Store, run_id: str, digest: str) -> None:
    """End a run that lacks nothing, naming the published bytes that it belongs to."""
    store.client.set_tag(run_id, DIGEST_TAG, digest)
    if "error" in store.client.get_run(run_id).data.tags:
        store.client.delete_tag(run_id, "error")
    store.client.set_terminated(run_id, "FINISHED")


def find_finished(store: Store, fingerprint: str, digest: str) -> "Run | None":
    """Return the newest finished run of a stage's published bytes."""
    return next(iter(finished_runs(store, fingerprint, digest)), None)


def finished_runs(store: Store, fingerprint: str, digest: str) -> "list[Run]":
    """Return the finished runs of a stage's published bytes, the newest first: one, unless machines were cut off.

    Runs of earlier versions of pkd name no bytes; one of the same fingerprint is taken for theirs.
    """
    condition = f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'"
    runs = all_pages(store.client.search_runs, [store.experiment_id], condition)
    return newest_first(run for run in runs if belongs_to(run, digest))


def newest_first(runs: "Iterable[Run]") -> "list[Run]":
    """Sort runs by their start, in an order that is the same for everybody."""
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id), reverse=True)


def belongs_to(run: "Run", digest: str) -> bool:
    """Return whether a finished run is of these published bytes."""
    return bool(run.data.tags.get(DIGEST_TAG, digest) == digest)


def metrics_at(step: int, values: Mapping[str, float]) -> "list[Metric]":
    """Return metric values of one step as MLflow's entities, with the present time."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(key, float(value), now, step) for key, value in values.items()]


def _cut_tags(contents: RunContents) -> dict[str, str]:
    return {key: value[:_TAG_LENGTH] for key, value in contents.tags.items()}


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
    if not inputs:
        return
    for retries_left in reversed(range(len(inputs) + 1)):
        try:
            store.client.log_inputs(run_id, datasets=inputs)
            return
        except MlflowException:
            if not retries_left:
                raise
