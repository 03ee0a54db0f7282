"""The real flow on a real Prefect server: what runs, what is cached, what a failure stops and what it does not."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from faults.workspaces import read_result
from flow_runs import (
    REPORT,
    STAGES,
    TASK_A,
    TASK_B,
    TRAININGS,
    Run,
    finished,
    manifests,
    mlflow_runs,
    run,
    run_config,
    start,
)
from tiny import write_tiny_model, write_tiny_task

from flows.pkd import pkd
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.build import build
from pkd_core.pipeline.local import log_progress
from pkd_core.pipeline.plan import make_plan
from tasks.mlflow_store import ensure_store

PARTIAL, WHOLE = "report/tinya-tinyb (partial)", "report/tinya-tinyb"


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
def fixed(broken: tuple[Path, Run]) -> tuple[Path, Run]:
    """The second run, without the bad line."""
    root, _ = broken
    path = root / "data_raw" / "TinyB" / "train.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("a film\tsideways\n", ""), encoding="utf-8")
    return root, run(root)


@pytest.fixture(scope="module")
def repeated(fixed: tuple[Path, Run]) -> tuple[Path, Run]:
    """The third run, with nothing changed."""
    root, _ = fixed
    return root, run(root)


def test_one_tasks_failure_stops_no_other(broken: tuple[Path, Run]) -> None:
    _, run = broken
    assert run.named("Completed") == TASK_A | REPORT
    assert run.named("Failed") == {"TinyB/tokens"}
    # Tasks that never began have not been given their stage's name.
    waiting = [state for state in run.tasks.values() if state.name == "NotReady"]
    assert len(waiting) == len(STAGES) - 1


def test_a_failed_run_names_root_causes_only(broken: tuple[Path, Run]) -> None:
    root, run = broken
    assert run.state.is_failed()
    assert run.state.message == (
        f"1 of 2 tasks failed: TinyB tokens: {root}/data_raw/TinyB/train.tsv:50: "
        "expected a label out of down, up, got 'sideways'; fix the file"
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
    assert run.mlflow == finished(*(f"tinya/{name}" for name in TRAININGS), PARTIAL)


def test_a_failure_leaves_no_prefect_record(broken: tuple[Path, Run]) -> None:
    root, _ = broken
    records = [path.name for path in (root / "artifacts" / "prefect" / "records").iterdir()]
    assert len(records) == len(STAGES) + len(REPORT)


@pytest.mark.slow
def test_a_model_that_mlflow_lacks_is_logged_by_the_next_run(tmp_path: Path, server: None) -> None:
    write_tiny_model(tmp_path / "model")
    write_tiny_task(tmp_path / "data_raw", "TinyA")
    in_the_way = tmp_path / "artifacts" / "mlflow-files"
    in_the_way.parent.mkdir()
    in_the_way.write_bytes(b"")
    assert start(tmp_path, ("TinyA",)).is_failed()
    assert list(tmp_path.glob("artifacts/TinyA/finetune-*/manifest.json"))
    in_the_way.unlink()
    second = start(tmp_path, ("TinyA",))
    assert second.is_completed(), second.message


def test_after_the_fix_only_the_failed_task_runs(fixed: tuple[Path, Run]) -> None:
    _, run = fixed
    assert run.state.is_completed()
    assert run.named("Cached") == TASK_A
    assert run.named("Completed") == TASK_B | REPORT
    assert run.report["failures"] == {}
    assert {group["task"] for group in run.report["groups"]} == {"TinyA", "TinyB"}


def test_mlflow_tells_a_partial_report_from_the_whole_one_after_it(fixed: tuple[Path, Run]) -> None:
    root, after = fixed
    store = ensure_store(root)
    runs = store.client.search_runs([store.experiment_id], "tags.method = 'report'")
    tags = {run.info.run_name: run.data.tags for run in runs}
    assert (tags[PARTIAL]["failed_stages"], tags[PARTIAL]["task"]) == ("TinyB/tokens", "TinyA,TinyB")
    assert "failed_stages" not in tags[WHOLE]
    # The comparison of `make faults` leaves the partial one out, and would show a second curve of the whole one.
    curves = {name: curve for name, curve in read_result(root).curves.items() if name.startswith("report/")}
    assert curves == {
        f"{WHOLE} report/{group['task']}-{group['method']}-{group['num_layers']}l": [[(0, group["score"])]]
        for group in after.report["groups"]
    }
    assert len(curves) == 2 * len(TRAININGS)


def test_a_second_run_builds_nothing_and_logs_nothing(
    fixed: tuple[Path, Run], repeated: tuple[Path, Run]
) -> None:
    _, before = fixed
    _, run = repeated
    assert run.state.is_completed()
    assert run.named("Cached") == TASK_A | TASK_B | REPORT
    trained = [f"{task}/{name}" for task in ("tinya", "tinyb") for name in TRAININGS]
    assert run.mlflow == before.mlflow == finished(*trained, PARTIAL, WHOLE)


def test_only_damaged_and_deleted_stages_run_again(repeated: tuple[Path, Run]) -> None:
    root, before = repeated
    (shard,) = root.glob("data_feat/TinyA/teacher-states-*/states-00000.arrow")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-8])
    (deleted,) = root.glob("artifacts/TinyB/evaluation-kd-2l-s42-*")
    shutil.rmtree(deleted)
    again = run(root)
    assert {"TinyA/teacher-states", "TinyB/evaluation-kd-2l-s42"} <= again.named("Completed")
    # Both come out with the same bytes, so that the report still stands.
    assert again.named("Cached") == (TASK_A | TASK_B | REPORT) - {
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


def test_without_prefects_records_stages_are_looked_up_and_not_computed(repeated: tuple[Path, Run]) -> None:
    root, _ = repeated
    published, before = manifests(root), mlflow_runs(root)
    (lost,) = root.glob("artifacts/TinyA/kd-2l-s42-*")
    fingerprint = lost.name.rpartition("-")[2]
    for record in (root / "artifacts" / "prefect" / "records").iterdir():
        if fingerprint in record.name or not record.name.startswith(("teacher-", "student-")):
            record.unlink()
    again = run(root)
    assert again.named("Cached") == {
        f"{task}/{name}" for task in ("TinyA", "TinyB") for name in (*TRAININGS, "teacher-states")
    } - {"TinyA/kd-2l-s42"}
    assert again.named("Completed") == (TASK_A | TASK_B | REPORT) - again.named("Cached")
    assert (manifests(root), again.mlflow) == (published, before)


def test_a_stage_rebuilt_without_prefect_leaves_nothing_stale(
    repeated: tuple[Path, Run],
) -> None:
    root, _ = repeated
    # A speed that is measured again gives the evaluation other bytes than those of Prefect's record.
    for folder in (*root.glob("artifacts/TinyA/speed-*"), *root.glob("artifacts/reports/report-*")):
        shutil.rmtree(folder)
    plan = make_plan(run_config(root), root, device="cpu")
    evaluation = "TinyA/evaluation-kd-2l-s42"
    records = {}
    for one in plan.stages[:-1]:
        inputs = {part: records[key] for part, key in one.stage.inputs.items()}
        records[one.stage.key] = build(
            one.stage, inputs, plan.context(RunOptions(device="cpu")), log_progress
        )
    assert [one.stage.key for one in make_plan(run_config(root), root, device="cpu").todo] == [
        "reports/report"
    ]
    assert evaluation in run(root).named("Completed"), "MLflow lacks the new speed ratio"
    assert make_plan(run_config(root), root, device="cpu").todo == ()
    assert evaluation in run(root).named("Cached")


def test_a_report_that_cannot_be_written_is_named(repeated: tuple[Path, Run]) -> None:
    root, _ = repeated
    reports = root / "artifacts" / "reports"
    reports.rename(reports.with_name("reports-before"))
    reports.write_text("in the way", encoding="utf-8")
    state = start(root)
    reports.unlink()
    reports.with_name("reports-before").rename(reports)
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith("2 of 2 tasks done, but not the report: ")
    assert str(reports) in state.message


def test_a_mistake_in_the_parameters_is_the_flows_message(broken: tuple[Path, Run]) -> None:
    root, _ = broken
    state = pkd(tasks=["TinyC"], model=str(root / "model"), workspace=str(root), return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert "got 'TinyC'; choose a similar one (Tiny" in state.message


def test_trainings_never_overlap(fixed: tuple[Path, Run]) -> None:
    root, _ = fixed
    store = ensure_store(root)
    runs = store.client.search_runs([store.experiment_id], "attributes.status = 'FINISHED'")
    histories = [
        store.client.get_metric_history(run.info.run_id, "train/total")
        for run in runs
        if run.info.run_name.startswith("tiny")
    ]
    spans = sorted((history[0].timestamp, history[-1].timestamp) for history in histories)
    assert len(spans) == 2 * len(TRAININGS)
    for (_, end), (begun, _) in pairwise(spans):
        assert end <= begun
