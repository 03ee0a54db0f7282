"""A stopped or killed training resumes its MLflow run, and logs no step twice; dead runs are marked as failed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs import complete, contents_of, file_of, finished, history, run_of, runs_of, tracked

from pkd_core.runtime.cancellation import StoppedError
from pkd_core.store.address import Address
from pkd_core.store.stage_store import StageStore
from tasks.mlflow_store import Store
from tasks.run_contents import create_run
from tasks.unfinished import fail_dead_runs, new_attempt


def killed(workspace: Path, fingerprint: str) -> None:
    """Open a run in a process that is killed in it."""
    code = (
        "import os, signal, sys; from pathlib import Path; from runs import tracked\n"
        "with tracked(Path(sys.argv[1]), sys.argv[2]) as run:\n"
        "    run.metrics(1, {'train/total': 1.0}); run.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}",
    ]
    assert subprocess.run([*command, str(workspace), fingerprint], check=False).returncode == -9


def test_a_resumed_training_resumes_its_run_and_logs_no_step_twice(workspace: Path, store: Store) -> None:
    params = {"student.learning_rate": 5e-5}
    with (
        pytest.raises(StoppedError),
        tracked(workspace, "f-resumed", params=params, datasets={"RTE/tokens": "a"}) as run,
    ):
        for step in range(1, 8):
            run.metrics(step, {"train/total": 1 / step})
        run.metrics(7, {"dev/f1": 0.5})
        raise StoppedError("stopped here")
    assert store.client.get_run(run.run_id).data.tags["error"] == "stopped here"

    # The checkpoint was of step 5: the steps after it are computed again.
    with tracked(workspace, "f-resumed", resumes=True, params=params) as again:
        assert store.client.get_run(run.run_id).info.status == "RUNNING"
        for step in range(6, 11):
            again.metrics(step, {"train/total": 1 / step})
        again.metrics(7, {"dev/f1": 0.5})
        again.metrics(10, {"dev/f1": 0.75})
    complete(workspace, "f-resumed", params=params)

    found = run_of(store, "f-resumed")
    assert again.run_id == run.run_id == found.info.run_id
    assert found.info.status == "FINISHED"
    assert "error" not in found.data.tags
    assert history(store, run.run_id, "train/total") == [(step, 1 / step) for step in range(1, 11)]
    assert history(store, run.run_id, "dev/f1") == [(7, 0.5), (10, 0.75)]


def test_a_killed_training_resumes_its_run_on_a_host_of_another_name_and_with_another_clock(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(workspace, "f-moved")
    before = run_of(store, "f-moved")
    # A run of the same stage in another workspace, which the clock of its machine makes the newest.
    other = store.client.create_run(
        store.experiment_id,
        tags={"fingerprint": "f-moved", "attempt": "0" * 32},
        start_time=before.info.start_time + 86_400_000,
    )
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    with tracked(workspace, "f-moved", resumes=True) as run:
        run.metrics(2, {"train/total": 0.5})
    assert run.run_id == before.info.run_id
    assert history(store, run.run_id, "train/total") == [(1, 1.0), (2, 0.5)]
    assert history(store, other.info.run_id, "train/total") == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"attempt": 7}', '{"attempt": "\' or 1 = 1"}', "[" * 100_000]
)
def test_a_damaged_file_of_the_attempt_begins_a_new_run(content: str, workspace: Path, store: Store) -> None:
    fingerprint = f"f-damaged-{len(content)}"
    with tracked(workspace, fingerprint) as first:
        pass
    file_of(workspace, fingerprint).write_text(content, encoding="utf-8")
    with tracked(workspace, fingerprint, resumes=True) as second:
        pass
    assert second.run_id != first.run_id


@pytest.mark.slow
def test_a_training_that_begins_again_opens_a_new_run_and_fails_the_killed_one(
    workspace: Path, store: Store
) -> None:
    killed(workspace, "f-again")
    (dead,) = runs_of(store, "f-again")
    with tracked(workspace, "f-again") as run:
        pass
    complete(workspace, "f-again")
    assert runs_of(store, "f-again") == {dead: "FAILED", run.run_id: "FINISHED"}
    assert store.client.get_run(dead).data.tags["error"].startswith("The process died")


def test_a_training_that_begins_again_keeps_the_reason_for_which_the_first_one_stopped(
    workspace: Path, store: Store
) -> None:
    with pytest.raises(StoppedError), tracked(workspace, "f-reason") as stopped:
        raise StoppedError("stopped here")
    with tracked(workspace, "f-reason", resumes=False) as run:
        pass
    assert run.run_id != stopped.run_id
    assert store.client.get_run(stopped.run_id).data.tags["error"] == "stopped here"


def test_resuming_without_an_unfinished_run_creates_one(workspace: Path, store: Store) -> None:
    finished(workspace, "f-no-run")
    with tracked(workspace, "f-no-run", resumes=True) as run:
        run.metrics(5, {"train/total": 1.0})
    assert history(store, run.run_id, "train/total") == [(5, 1.0)]
    assert sorted(runs_of(store, "f-no-run").values()) == ["FINISHED", "RUNNING"]


def test_runs_of_dead_processes_are_failed_and_those_of_living_ones_are_not(
    workspace: Path, store: Store
) -> None:
    dead, living = (Address("artifacts", "RTE", "pkd-skip-3l", f"f-{name}") for name in ("dead", "living"))
    for address in (dead, living):
        attempt = new_attempt(file_of(workspace, address.fingerprint))
        create_run(store, contents_of(address.fingerprint), attempt)
    with StageStore(workspace).locked(living):
        fail_dead_runs(store, workspace)
    assert run_of(store, "f-dead").info.status == "FAILED"
    assert run_of(store, "f-living").info.status == "RUNNING"


def test_a_process_that_died_before_it_created_its_run_leaves_an_attempt_that_disturbs_nothing(
    workspace: Path, store: Store
) -> None:
    path = file_of(workspace, "f-early")
    attempt = new_attempt(path)
    assert json.loads(path.read_text()) == {"attempt": attempt}
    fail_dead_runs(store, workspace)
    with tracked(workspace, "f-early", resumes=True):
        pass
    assert len(runs_of(store, "f-early")) == 1
