"""A plan is estimated by what similar stages took on this machine."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_model, write_tiny_task
from transformers import BertForMaskedLM

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.estimate import estimate_seconds
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.position import Position
from pkd_core.runtime.device import model_of
from pkd_core.store.durations import Duration, append_duration, read_durations
from pkd_core.store.stage_store import StageStatus
from pkd_core.store.work_folder import prepare_work, resume_folder

CPU = torch.device("cpu")
HIDDEN_SIZE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimate") / "model"
    write_tiny_model(folder, num_layers=2, kind=BertForMaskedLM)
    return folder


@pytest.fixture
def plan(tmp_path: Path, model: Path) -> Plan:
    write_tiny_task(tmp_path / "data_raw")
    (tmp_path / "artifacts").mkdir()
    run = build_run_config(
        tasks=["Tiny"], methods=["finetune"], model=str(model), settings={"teacher.num_epochs": 3}
    )
    return make_plan(run, tmp_path)


def teacher(plan: Plan, amount: float, seconds: float) -> Duration:
    """Return what a teacher of 2 layers and 3 epochs took over `amount` times the bytes of Tiny."""
    size = (plan.workspace / "data_raw" / "Tiny" / "train.tsv").stat().st_size
    return Duration("teacher", model_of(CPU), 4, HIDDEN_SIZE, size * 2 * 3 * amount, seconds)


def test_nothing_is_estimated_where_nothing_is_known(plan: Plan) -> None:
    assert estimate_seconds(plan, CPU) == {}


def test_the_estimate_is_that_of_the_most_similar_stage_in_proportion_to_the_work(plan: Plan) -> None:
    for amount, seconds in ((10.0, 50.0), (2.0, 8.0), (0.1, 9.0)):
        append_duration(plan.workspace, teacher(plan, amount, seconds))
    assert estimate_seconds(plan, CPU) == {"Tiny/teacher": pytest.approx(4.0)}


def test_of_equally_similar_stages_the_newest_counts(plan: Plan) -> None:
    for seconds in (9.0, 5.0):
        append_duration(plan.workspace, teacher(plan, 1.0, seconds))
    assert estimate_seconds(plan, CPU) == {"Tiny/teacher": pytest.approx(5.0)}


@pytest.mark.parametrize(
    "other", [{"machine": "another"}, {"threads": 1}, {"hidden_size": 768}, {"kind": "speed"}]
)
def test_a_stage_under_other_conditions_is_not_compared(other: dict[str, object], plan: Plan) -> None:
    append_duration(plan.workspace, replace(teacher(plan, 1.0, 5.0), **other))  # type: ignore[arg-type]
    assert estimate_seconds(plan, CPU) == {}


def test_predicting_the_words_of_copies_takes_time_in_proportion_to_the_training_texts(plan: Plan) -> None:
    size = (plan.workspace / "data_raw" / "Tiny" / "train.tsv").stat().st_size
    append_duration(plan.workspace, Duration("transfer-set", model_of(CPU), 4, HIDDEN_SIZE, 2.0 * size, 90.0))
    settings = {"transfer.num_copies": 3, "transfer.mlm_probability": 0.4}
    run = plan.run.model_copy(update={"methods": ("kd",), "settings": settings})
    found = estimate_seconds(make_plan(run, plan.workspace), CPU)
    assert found == {"Tiny/transfer-set": pytest.approx(45.0)}


def test_a_training_that_resumes_takes_the_rest_of_the_time(plan: Plan) -> None:
    append_duration(plan.workspace, teacher(plan, 1.0, 40.0))
    resumed = replace(plan.stages[1], position=Position(3, 4))
    stages = (plan.stages[0], resumed, *plan.stages[2:])
    assert estimate_seconds(replace(plan, stages=stages), CPU) == {"Tiny/teacher": pytest.approx(10.0)}


def test_a_stage_that_is_built_at_once_is_recorded(plan: Plan) -> None:
    run_plan(replace(plan, stages=plan.stages[:1]), RunOptions(device="cpu"))
    (duration,) = read_durations(plan.workspace)
    sizes = [path.stat().st_size for path in (plan.workspace / "data_raw" / "Tiny").glob("*.tsv")]
    assert (duration.kind, duration.machine) == ("tokens", model_of(CPU))
    assert (duration.hidden_size, duration.amount) == (HIDDEN_SIZE, sum(sizes))
    assert 0 < duration.seconds < 600


def test_a_stage_that_continues_is_not_recorded(plan: Plan) -> None:
    stage = plan.stages[0].stage
    work = plan.workspace / stage.address.work_folder
    work.parent.mkdir(parents=True)
    prepare_work(work, stage.sources)
    (resume_folder(work) / "checkpoint").mkdir()
    run_plan(replace(plan, stages=plan.stages[:1]), RunOptions(device="cpu"))
    assert make_plan(plan.run, plan.workspace).stages[0].status is StageStatus.DONE
    assert read_durations(plan.workspace) == []
