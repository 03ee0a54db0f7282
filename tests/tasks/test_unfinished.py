"""A training that was stopped goes on with its MLflow run, and no step of it is told twice."""

from pathlib import Path

import pytest
from runs import history, metrics_unavailable, run_of, settings

from pkd_core.runtime.cancellation import StoppedError
from tasks.mlflow_store import Store
from tasks.tracking import tracked_run


def test_a_training_that_goes_on_goes_on_with_its_run_and_tells_no_step_twice(
    workspace: Path, store: Store
) -> None:
    params = {"student.learning_rate": 5e-5}
    with (
        pytest.raises(StoppedError),
        tracked_run(workspace, **settings("f-resumed", params=params, datasets={"RTE/tokens": "a"})) as run,
    ):
        for step in range(1, 8):
            run.metrics(step, {"train/total": 1 / step})
        run.metrics(7, {"score": 0.5})
        raise StoppedError("stopped here")
    assert store.client.get_run(run.run_id).data.tags["error"] == "stopped here"

    # The checkpoint was of step 5: the steps after it are made again.
    with tracked_run(workspace, **settings("f-resumed", params=params), resumes=True) as again:
        assert store.client.get_run(run.run_id).info.status == "RUNNING"
        for step in range(6, 11):
            again.metrics(step, {"train/total": 1 / step})
        again.metrics(7, {"score": 0.5})
        again.metrics(10, {"score": 0.75})

    found = run_of(store, "f-resumed")
    assert again.run_id == run.run_id == found.info.run_id
    assert found.info.status == "FINISHED"
    assert "error" not in found.data.tags
    assert history(store, run.run_id, "train/total") == [(step, 1 / step) for step in range(1, 11)]
    assert history(store, run.run_id, "score") == [(7, 0.5), (10, 0.75)]


def test_going_on_without_a_run_to_go_on_with_begins_one(workspace: Path, store: Store) -> None:
    with tracked_run(workspace, **settings("f-no-run"), resumes=True) as run:
        run.metrics(5, {"train/total": 1.0})
    assert history(store, run.run_id, "train/total") == [(5, 1.0)]


def test_settling_sends_what_waits_and_outlives_a_store_that_is_away(workspace: Path, store: Store) -> None:
    with tracked_run(workspace, **settings("f-settled")) as run:
        run.metrics(1, {"train/total": 1.0})
        with metrics_unavailable(workspace):
            run.flush()
        assert history(store, run.run_id, "train/total") == []
        run.flush()
        assert history(store, run.run_id, "train/total") == [(1, 1.0)]
