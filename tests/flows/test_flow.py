"""The real flow on a real Prefect server: what runs, what is cached, what a failure stops and what it does not."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from tiny import write_tiny_model, write_tiny_task

import tasks.progress
from flows.latest import latest_report
from flows.pkd import pkd
from pkd_core.stage import StageKind, make_stage
from tasks.mlflow_store import ensure_store
from tasks.progress import ProgressObserver
from tasks.run_stage import DEVICE_LIMIT

SETTINGS = {
    "teacher.num_epochs": 1,
    "student.num_epochs": 1,
    "evaluation.speed_repeats": 1,
    "tokens.max_length": 16,
}
STAGES = (
    "tokens",
    "teacher",
    "evaluation-teacher",
    "teacher-states",
    "finetune-2l-s42",
    "evaluation-finetune-2l-s42",
    "kd-2l-s42",
    "evaluation-kd-2l-s42",
)
TRAININGS = ("finetune-2l-s42", "kd-2l-s42", "teacher")
CHAIN_A = {f"TinyA/{stage}" for stage in STAGES}
CHAIN_B = {f"TinyB/{stage}" for stage in STAGES}
REPORT = {"reports/report"}


@dataclass(frozen=True)
class Run:
    """What a flow run left: its state, its tasks' states by stage, MLflow's runs (name, status), and the report."""

    state: State[Any]
    tasks: Mapping[str, State[Any]]
    mlflow: list[tuple[str, str]]
    report: dict[str, Any]

    def named(self, state: str) -> set[str]:
        """Return the stages that ended in a state of that name."""
        return {stage for stage, ended in self.tasks.items() if ended.name == state}


def run(root: Path, tasks: tuple[str, ...] = ("TinyA", "TinyB"), **settings: float) -> Run:
    """Run the flow and ask Prefect and MLflow what became of it."""
    changed = SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    state = pkd(
        tasks=tasks,
        methods=("finetune", "kd"),
        model=str(root / "model"),
        settings=changed,
        workspace=str(root),
        device="cpu",
        return_state=True,
    )
    report = latest_report(root)
    assert report is not None
    return Run(
        state,
        task_states(state.state_details.flow_run_id, len(tasks) * len(STAGES) + 1),
        mlflow_runs(root),
        json.loads((report / "report.json").read_text(encoding="utf-8")),
    )


def task_states(flow_run: UUID | None, num_tasks: int) -> dict[str, State[Any]]:
    """Return the last state of a flow run's tasks by their names, once Prefect has heard of all of them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with get_client(sync_client=True) as client:
            found = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])), limit=200
            )
        states = {run.name: run.state for run in found if run.state}
        ended = [state for state in states.values() if state.is_final() or state.name == "NotReady"]
        if len(ended) == num_tasks:
            return states
        time.sleep(0.2)
    pytest.fail(f"{num_tasks} tasks should have ended by now, but these have: {states}")


def mlflow_runs(root: Path) -> list[tuple[str, str]]:
    store = ensure_store(root)
    return sorted(
        (run.info.run_name, run.info.status) for run in store.client.search_runs([store.experiment_id])
    )


def finished(*names: str) -> list[tuple[str, str]]:
    return sorted((name, "FINISHED") for name in names)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, server: None) -> tuple[Path, Run]:
    """The first run over two tasks, with a bad line in one task's training file."""
    root = tmp_path_factory.mktemp("flow")
    write_tiny_model(root / "model")
    for task in ("TinyA", "TinyB"):
        write_tiny_task(root / "data_raw", task)
    with (root / "data_raw" / "TinyB" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("a film\tsideways\n")
    return root, run(root)


@pytest.fixture(scope="module")
def mended(broken: tuple[Path, Run]) -> tuple[Path, Run]:
    """The second run, without the bad line."""
    root, _ = broken
    path = root / "data_raw" / "TinyB" / "train.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("a film\tsideways\n", ""), encoding="utf-8")
    return root, run(root)


@pytest.fixture(scope="module")
def repeated(mended: tuple[Path, Run]) -> tuple[Path, Run]:
    """The third run, with nothing changed."""
    root, _ = mended
    return root, run(root)


def test_one_chains_failure_stops_no_other(broken: tuple[Path, Run]) -> None:
    _, run = broken
    assert run.named("Completed") == CHAIN_A | REPORT
    assert run.named("Failed") == {"TinyB/tokens"}
    # Tasks that never began have not been given their stage's name.
    waiting = [state for state in run.tasks.values() if state.name == "NotReady"]
    assert len(waiting) == len(STAGES) - 1


def test_a_failed_run_names_each_root_cause_and_no_follower(broken: tuple[Path, Run]) -> None:
    root, run = broken
    assert run.state.is_failed()
    assert run.state.message == (
        f"1 of 2 chains failed: TinyB tokens: {root}/data_raw/TinyB/train.tsv:50: "
        "expected a label out of down, up, got 'sideways'; mend the file"
    )
    assert run.tasks["TinyB/tokens"].message == run.state.message.split("tokens: ")[1]


def test_the_report_over_what_completed_names_the_failure(broken: tuple[Path, Run]) -> None:
    _, run = broken
    assert {group["task"] for group in run.report["groups"]} == {"TinyA"}
    ((stage, reason),) = run.report["failures"].items()
    assert stage == "TinyB/tokens"
    assert "'sideways'" in reason


def test_mlflow_has_one_run_for_each_model_and_one_for_the_report(broken: tuple[Path, Run]) -> None:
    _, run = broken
    assert run.mlflow == finished(*(f"tinya/{name}" for name in TRAININGS), "report/tinya")


def test_after_mending_only_the_failed_chain_runs(mended: tuple[Path, Run]) -> None:
    _, run = mended
    assert run.state.is_completed()
    assert run.named("Cached") == CHAIN_A
    assert run.named("Completed") == CHAIN_B | REPORT
    assert run.report["failures"] == {}
    assert {group["task"] for group in run.report["groups"]} == {"TinyA", "TinyB"}


def test_a_second_run_runs_nothing_and_tells_mlflow_nothing(
    mended: tuple[Path, Run], repeated: tuple[Path, Run]
) -> None:
    _, before = mended
    _, run = repeated
    assert run.state.is_completed()
    assert run.named("Cached") == CHAIN_A | CHAIN_B | REPORT
    trained = [f"{task}/{name}" for task in ("tinya", "tinyb") for name in TRAININGS]
    assert run.mlflow == before.mlflow == finished(*trained, "report/tinya", "report/tinya-tinyb")


def test_only_damaged_and_deleted_stages_run_again(repeated: tuple[Path, Run]) -> None:
    root, before = repeated
    (shard,) = root.glob("data_feat/TinyA/teacher-states-*/states-00000.arrow")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-8])
    (deleted,) = root.glob("artifacts/TinyB/evaluation-kd-2l-s42-*")
    shutil.rmtree(deleted)
    again = run(root)
    assert {"TinyA/teacher-states", "TinyB/evaluation-kd-2l-s42"} <= again.named("Completed")
    # An evaluation's measured speed ratio gives it other bytes, so that the report is made again.
    assert again.named("Cached") == (CHAIN_A | CHAIN_B) - {
        "TinyA/teacher-states",
        "TinyB/evaluation-kd-2l-s42",
    }
    assert shard.read_bytes() == whole
    assert [one for one in again.mlflow if one[0].startswith("tiny")] == [
        one for one in before.mlflow if one[0].startswith("tiny")
    ]


def test_a_crash_inside_a_training_fails_its_runs_in_prefect_and_mlflow(repeated: tuple[Path, Run]) -> None:
    root, _ = repeated
    crashed = run(root, ("TinyA",), student__learning_rate=1e30)
    failed = crashed.named("Failed")
    assert failed == {"TinyA/finetune-2l-s42", "TinyA/kd-2l-s42"}
    for stage in failed:
        message = crashed.tasks[stage].message
        assert message is not None
        assert "finite" in message
        assert "Traceback" not in message
    ended = [one for one in crashed.mlflow if one[1] == "FAILED"]
    assert ended == [("tinya/finetune-2l-s42", "FAILED"), ("tinya/kd-2l-s42", "FAILED")]
    assert [group["method"] for group in crashed.report["groups"]] == ["teacher"]
    store = ensure_store(root)
    errors = {
        mlflow_run.data.tags["error"]
        for mlflow_run in store.client.search_runs([store.experiment_id], "attributes.status = 'FAILED'")
    }
    assert errors == {crashed.tasks[stage].message for stage in failed}


def test_a_mistake_in_the_parameters_is_the_flows_message(broken: tuple[Path, Run]) -> None:
    root, _ = broken
    state = pkd(tasks=["TinyC"], model=str(root / "model"), workspace=str(root), return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert "got 'TinyC'; choose a near one (Tiny" in state.message


def test_the_device_has_one_slot(broken: tuple[Path, Run]) -> None:
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(DEVICE_LIMIT)
    assert limit.limit == 1
    assert limit.active_slots == 0


def test_progress_is_one_artifact_that_is_kept_up_to_date(
    server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.progress, "_SECONDS_BETWEEN_UPDATES", 0.0)
    stage = make_stage(StageKind.STUDENT, "Tiny_C", "kd-2l-s1", {}, {}, {})

    @flow
    def work() -> None:
        observer = ProgressObserver(stage)
        for done in (1, 2, 4):
            observer.progress(done, 4, "steps")

    work()
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["tiny-c-kd-2l-s1"]))
        )
    assert [(artifact.type, artifact.data) for artifact in found] == [("progress", 100.0)]
