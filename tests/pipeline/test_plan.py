"""A plan knows every stage's state before anything runs; a plan that runs is on record."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.command import run_command
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.glue import load_task
from pkd_core.errors import ConfigError, StoreError
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.models import PretrainedModel, find_model
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.position import Position
from pkd_core.pipeline.specs import SpeedSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.device import model_of
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.run_records import read_run_records
from pkd_core.store.stage_store import StageStatus
from pkd_core.store.work_folder import prepare_work, resume_folder
from pkd_core.training.checkpoints import Checkpoint, Checkpoints


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "model"
    write_tiny_model(folder, num_layers=2)
    return folder


@pytest.fixture
def plan(tmp_path: Path, model: Path) -> Plan:
    write_tiny_task(tmp_path / "data_raw")
    run = build_run_config(tasks=["Tiny"], methods=["finetune"], seeds=[7], model=str(model))
    return make_plan(run, tmp_path)


def tokens_of(plan: Plan) -> Plan:
    """Return a plan of its first stage alone, which takes no training."""
    return replace(plan, stages=plan.stages[:1])


def again(plan: Plan, deep: bool = False) -> Plan:
    return make_plan(plan.run, plan.workspace, deep)


def test_a_new_plan_has_all_stages_to_do(plan: Plan, model: Path, tmp_path: Path) -> None:
    assert (plan.workspace, plan.model) == (tmp_path, find_model(str(model)))
    assert plan.tasks == {"Tiny": load_task("Tiny", tmp_path / "data_raw")}
    assert [(one.stage.key, one.status, one.reason) for one in plan.stages] == [
        (key, StageStatus.MISSING, "not built yet")
        for key in (
            "Tiny/tokens",
            "Tiny/teacher",
            "Tiny/evaluation-teacher",
            "Tiny/speed-1l",
            "Tiny/finetune-1l-s7",
            "Tiny/evaluation-finetune-1l-s7",
            "reports/report",
        )
    ]
    assert plan.todo == plan.stages


def test_a_stage_that_is_built_is_no_longer_to_do(plan: Plan) -> None:
    records = run_plan(tokens_of(plan), RunOptions(device="cpu"))
    assert list(records) == ["Tiny/tokens"]
    tokens, *others = again(plan).stages
    assert tokens.status is StageStatus.DONE
    assert again(plan).todo == tuple(others) == plan.stages[1:]


def test_changed_bytes_of_the_same_size_are_to_do_in_a_deep_plan_alone(plan: Plan) -> None:
    record = run_plan(tokens_of(plan), RunOptions(device="cpu"))["Tiny/tokens"]
    shard = plan.workspace / record.path / "train-00000.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert again(plan).stages[0].status is StageStatus.DONE
    damaged = again(plan, deep=True).stages[0]
    assert damaged.status is StageStatus.DAMAGED
    assert "train-00000.parquet" in damaged.reason


def leave_checkpoint(plan: Plan, step: int, **inputs: str) -> Path:
    """Leave what a teacher that was killed leaves, and return its folder."""
    record = run_plan(tokens_of(plan), RunOptions(device="cpu"))["Tiny/tokens"]
    stage = plan.stages[1].stage
    work = plan.workspace / stage.address.work_folder
    work.parent.mkdir(parents=True)
    prepare_work(work, {"tokens": record.digest} | dict(stage.sources) | inputs)
    Checkpoints(resume_folder(work), work, 1.0).save(Checkpoint({"weight": torch.zeros(1)}, {"step": step}))
    return resume_folder(work)


def test_a_training_with_a_checkpoint_resumes_there(plan: Plan) -> None:
    leave_checkpoint(plan, 3)
    teacher = again(plan).stages[1]
    # 4 epochs of 48 examples in batches of 32.
    assert (teacher.status, teacher.reason) == (StageStatus.MISSING, "resumes at step 3 of 8")
    assert teacher.position == Position(3, 8)


def test_a_checkpoint_from_other_inputs_is_not_resumed_from(plan: Plan) -> None:
    leave_checkpoint(plan, 3, tokens="0" * 32)
    assert again(plan).stages[1].position is None


def test_a_checkpoint_whose_state_is_damaged_is_not_counted_on(plan: Plan) -> None:
    state = leave_checkpoint(plan, 3) / "checkpoint" / "state.json"
    state.write_text(state.read_text(encoding="utf-8").replace('"step": 3', '"step": 5'), encoding="utf-8")
    teacher = again(plan).stages[1]
    assert (teacher.reason, teacher.position) == ("not built yet", None)


def test_every_stage_of_a_run_works_in_the_absolute_workspace(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(device="cpu")
    expected = RunContext(plan.workspace, plan.model, plan.tasks, options, run_command(plan.run, "model"))
    assert plan.context(options) == expected
    monkeypatch.chdir(plan.workspace)
    assert make_plan(plan.run, Path()).context(options) == expected
    assert expected.data_raw("Tiny") == plan.workspace / "data_raw"
    assert expected.device.type == "cpu"


def test_a_plan_is_made_for_a_device_of_this_machine(plan: Plan) -> None:
    with pytest.raises(
        ConfigError, match=r"^there is no device 'cuda:99' on this machine; give --device auto"
    ):
        make_plan(plan.run, plan.workspace, device="cuda:99")
    spec = make_plan(plan.run, plan.workspace, device="cpu").stages[3].stage.spec
    assert isinstance(spec, SpeedSpec)
    assert spec.machine == model_of(torch.device("cpu"))


def test_a_workspace_that_is_a_file_is_refused(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a workspace must be a folder"):
        make_plan(plan.run, tmp_path / "file")


def test_a_run_is_on_record_with_its_request_and_folders_and_running_while_it_runs(plan: Plan) -> None:
    was_running: list[bool] = []

    @contextmanager
    def track(stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
        was_running.extend(record.is_running for record in read_run_records(plan.workspace))
        yield LogObserver(stage.key)

    run_plan(tokens_of(plan), RunOptions(device="cpu"), track)
    assert was_running == [True]
    (record,) = read_run_records(plan.workspace)
    assert record.folders == {f"data_feat/Tiny/tokens-{plan.stages[0].stage.fingerprint}"}
    assert not record.is_running
    assert json.loads(record.path.read_text(encoding="utf-8"))["asked_for"] == plan.run.model_dump(
        mode="json"
    )
    with plan.recorded():
        (record,) = read_run_records(plan.workspace)
    assert record.folders == {one.stage.address.folder.as_posix() for one in plan.stages}


def test_without_options_and_tracking_a_plan_runs_and_logs_its_progress(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pkd_core.runtime.observer._SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level(logging.INFO, "pkd_core.runtime.observer"):
        records = run_plan(tokens_of(plan))
    assert records["Tiny/tokens"].facts["rows"] == {"train": 48, "dev": 24, "test": 6}
    assert caplog.messages
    assert all(message.startswith("Tiny/tokens: ") for message in caplog.messages)


def test_the_model_is_checked_unless_all_was_made_from_it(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[PretrainedModel] = []
    monkeypatch.setattr("pkd_core.pipeline.models.check_model", checked.append)
    assert make_plan(plan.run, plan.workspace).model == plan.model
    assert checked == [plan.model]
    monkeypatch.setattr("pkd_core.pipeline.plan.Plan.todo", ())
    make_plan(plan.run, plan.workspace)
    assert checked == [plan.model]
