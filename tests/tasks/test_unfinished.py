"""A stopped training resumes its MLflow run, and logs no step twice."""

import socket
from pathlib import Path

import pytest
from runs import history, metrics_unavailable, run_of, settings

from pkd_core.runtime.cancellation import StoppedError
from tasks.mlflow_store import Store
from tasks.tracking import tracked_run


def test_a_resumed_training_resumes_its_run_and_logs_no_step_twice(workspace: Path, store: Store) -> None:
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

    # The checkpoint was of step 5: the steps after it are computed again.
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


def test_the_newest_unfinished_run_is_resumed_and_older_ones_are_failed(
    workspace: Path, store: Store
) -> None:
    left = [
        store.client.create_run(
            store.experiment_id,
            tags={"fingerprint": "f-left", "workspace": f"{socket.gethostname()}:{workspace}"},
            start_time=start,
        ).info.run_id
        for start in (1000, 3000, 2000)
    ]
    with tracked_run(workspace, **settings("f-left"), resumes=True) as run:
        pass
    assert run.run_id == left[1]
    statuses = {run_id: store.client.get_run(run_id).info.status for run_id in left}
    assert statuses == dict(zip(left, ("FAILED", "FINISHED", "FAILED"), strict=True))
    for abandoned in (left[0], left[2]):
        assert store.client.get_run(abandoned).data.tags["error"].startswith("The process died")


def test_a_training_that_begins_again_does_not_resume_an_unfinished_run(
    workspace: Path, store: Store
) -> None:
    with pytest.raises(StoppedError), tracked_run(workspace, **settings("f-again")) as stopped:
        raise StoppedError("stopped here")
    with tracked_run(workspace, **settings("f-again"), resumes=False) as run:
        pass
    assert run.run_id != stopped.run_id
    assert store.client.get_run(stopped.run_id).data.tags["error"] == "stopped here"


def test_resuming_without_an_unfinished_run_creates_one(workspace: Path, store: Store) -> None:
    with tracked_run(workspace, **settings("f-no-run"), resumes=True) as run:
        run.metrics(5, {"train/total": 1.0})
    assert history(store, run.run_id, "train/total") == [(5, 1.0)]


def test_flushing_sends_what_is_unsent_and_continues_while_the_store_is_unavailable(
    workspace: Path, store: Store
) -> None:
    with tracked_run(workspace, **settings("f-settled")) as run:
        run.metrics(1, {"train/total": 1.0})
        with metrics_unavailable(workspace):
            run.flush()
        assert history(store, run.run_id, "train/total") == []
        run.flush()
        assert history(store, run.run_id, "train/total") == [(1, 1.0)]
