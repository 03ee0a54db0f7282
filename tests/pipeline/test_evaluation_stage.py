"""Evaluation and report of a run, compared with what transformers alone computes from the published models."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from tiny import write_tiny_model, write_tiny_task
from tiny_bert import Recorder
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

from pkd_core.config.overrides import build_run_config
from pkd_core.config.presets import published_score
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import SpeedConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ConfigError
from pkd_core.evaluation.result import EvaluationResult, read_result, write_result
from pkd_core.evaluation.speed_result import Speed, read_speed
from pkd_core.pipeline.job import Job, RunContext
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.report_stages import report_stage
from pkd_core.pipeline.specs import ReportSpec, SpeedSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.stages import speed
from pkd_core.pipeline.stages.report import write_run_report
from pkd_core.pipeline.stages.speed import time_depth
from pkd_core.runtime.device import model_of
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.finished_files import FinishedFiles

SETTINGS = {
    "teacher.num_epochs": 2,
    "teacher.learning_rate": 2e-3,
    "student.num_epochs": 3,
    "student.learning_rate": 2e-3,
    "speed.max_seconds": 9,
    "speed.threads": 3,
    "tokens.max_length": 16,
}
SPEED = Speed(1.75, 1.7, 1.77, 9, 4, 8, 7.0, 4.0, 3.0, 2.0, "a machine", 1)
Records = Mapping[str, StageRecord]


@pytest.fixture(scope="module")
def observers() -> dict[str, Recorder]:
    """What each stage of the run reported, by its key."""
    return {}


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, observers: dict[str, Recorder]
) -> tuple[Plan, Records, list[tuple[int, int, int]]]:
    """A run of one student, and the depths (student, teacher) and threads of each speed measurement."""
    root = tmp_path_factory.mktemp("evaluated")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    measured: list[tuple[int, int, int]] = []

    def measure(
        student: BertForSequenceClassification,
        teacher: BertForSequenceClassification,
        table: TokenTable,
        settings: SpeedConfig,
        device: torch.device,
        machine: str,
        observe: Callable[[int, int], None],
    ) -> Speed:
        depths = (student.config.num_hidden_layers, teacher.config.num_hidden_layers)
        measured.append((*depths, torch.get_num_threads()))
        assert len(table) == 24, "speed is measured on dev"
        assert (device, machine) == (torch.device("cpu"), model_of(torch.device("cpu")))
        assert settings == SpeedConfig(max_seconds=9, threads=3)
        assert len(student.bert.encoder.layer) == 2
        observe(3, 9)
        return SPEED

    @contextmanager
    def track(stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
        observers[stage.key] = Recorder()
        yield observers[stage.key]

    config = build_run_config(
        tasks=["Tiny"], methods=["kd"], seeds=[3], model=str(root / "model"), settings=SETTINGS
    )
    plan = make_plan(config, root, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "measure_speed", measure)
        return plan, run_plan(plan, RunOptions(device="cpu"), track), measured


def folder_of(finished: tuple[Plan, Records, object], stage: str) -> Path:
    plan, records, _ = finished
    return plan.workspace / records[f"Tiny/{stage}"].path


@pytest.mark.parametrize("stage", ["teacher", "kd-2l-s3"])
def test_scores_are_those_of_the_published_model_on_dev(
    stage: str, finished: tuple[Plan, Records, object]
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder_of(finished, stage)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder_of(finished, stage))
    lines = (finished[0].workspace / "data_raw" / "Tiny" / "dev.tsv").read_text().splitlines()[1:]
    texts, labels = zip(*(line.split("\t") for line in lines), strict=True)
    predicted = []
    for text in texts:
        with torch.inference_mode():
            logits = model(**tokenizer(text, truncation=True, max_length=16, return_tensors="pt")).logits
        predicted.append(("down", "up")[int(logits.argmax())])
    result = read_result(folder_of(finished, f"evaluation-{stage}"))
    assert result.scores == pytest.approx(
        {
            "dev/accuracy": accuracy_score(labels, predicted),
            "dev/f1": f1_score(labels, predicted, pos_label="up", zero_division=0.0),
        }
    )
    assert result.selection == "dev/accuracy"
    assert result.score == result.scores["dev/accuracy"]
    assert result.baseline == max(labels.count("up"), labels.count("down")) / len(labels)
    assert (result.num_dev, result.predicted_classes) == (24, len(set(predicted)))


def test_size_settings_and_origin_are_those_of_the_model(finished: tuple[Plan, Records, object]) -> None:
    folder = folder_of(finished, "kd-2l-s3")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    result = read_result(folder_of(finished, "evaluation-kd-2l-s3"))
    training = json.loads((folder / "training.json").read_text())
    assert (result.task, result.method, result.num_layers, result.seed) == ("Tiny", "kd", 2, 3)
    assert result.parameters == model.num_parameters()
    assert result.size_bytes == (folder / "model.safetensors").stat().st_size
    assert (result.best_epoch, result.precision) == (training["best_epoch"], training["precision"])
    assert result.hidden_size == model.config.hidden_size
    assert result.settings["student.learning_rate"] == 2e-3
    assert result.settings["distill.temperature"] == training["config"]["distill"]["temperature"]
    assert result.skipped_lines == {}


def test_a_depth_is_timed_against_the_teachers_and_its_students_carry_the_result(
    finished: tuple[Plan, Records, list[tuple[int, int, int]]],
) -> None:
    _, records, measured = finished
    assert measured == [(2, 4, 3)]
    assert read_speed(folder_of(finished, "speed-2l")) == SPEED
    assert records["Tiny/speed-2l"].facts == {"ratio": 1.75, "spread": pytest.approx(0.05)}
    assert read_result(folder_of(finished, "evaluation-kd-2l-s3")).speed == SPEED
    assert read_result(folder_of(finished, "evaluation-teacher")).speed is None


def test_a_speed_that_was_planned_for_another_machine_is_not_published(
    finished: tuple[Plan, Records, object], tmp_path: Path
) -> None:
    plan, _, _ = finished
    (stage,) = (one.stage for one in plan.stages if one.stage.key == "Tiny/speed-2l")
    assert isinstance(stage.spec, SpeedSpec)
    spec = stage.spec.model_copy(update={"machine": "NVIDIA H100"})
    job = Job(
        stage,
        tmp_path,
        tmp_path,
        {},
        {},
        plan.context(RunOptions(device="cpu")),
        Recorder(),
        lambda: None,
        FinishedFiles(tmp_path, tmp_path),
    )
    with pytest.raises(ConfigError) as caught:
        time_depth(job, spec)
    here = model_of(torch.device("cpu"))
    assert str(caught.value) == (
        f"Tiny/speed-2l was planned for NVIDIA H100, and this run computes on {here}; plan and run with the same "
        "--device, on one machine."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("finished")
def test_stages_report_how_many_examples_and_seconds_are_done(observers: dict[str, Recorder]) -> None:
    for model in ("kd-2l-s3", "teacher"):
        reported = observers[f"Tiny/evaluation-{model}"].progress_seen
        assert [one for one in reported if one[0] == one[1]] == [(24, 24, "examples"), (6, 6, "examples")]
    assert observers["Tiny/speed-2l"].progress_seen == [(3, 9, "seconds at most")]


def test_the_report_names_the_pretrained_model_by_its_folder_alone(
    finished: tuple[Plan, Records, object],
) -> None:
    plan, records, _ = finished
    report = plan.workspace / records["reports/report"].path
    short = plan.model.weights[:12]
    assert f"\n\nBase model: `model` (weights `{short}`).\n\n" in (report / "report.md").read_text(
        encoding="utf-8"
    )
    assert f"\nbase model: model (weights {short})\n" in (report / "report.txt").read_text(encoding="utf-8")
    found = json.loads((report / "report.json").read_text(encoding="utf-8"))["base_model"]
    assert found == {"name": "model", "digest": plan.model.weights}


def test_the_facts_of_an_evaluation_are_its_score_and_speed(finished: tuple[Plan, Records, object]) -> None:
    _, records, _ = finished
    result = read_result(folder_of(finished, "evaluation-kd-2l-s3"))
    facts = records["Tiny/evaluation-kd-2l-s3"].facts
    assert facts == {"score": result.score, "speed_ratio": 1.75}


def report_of(results: list[EvaluationResult], finished: tuple[Plan, Records, object], folder: Path) -> str:
    """Write the report over evaluations of other models, and return its page."""
    plan, _, _ = finished
    inputs = {}
    for number, result in enumerate(results):
        path = folder / f"evaluation-{number}"
        path.mkdir(parents=True)
        write_result(path, result)
        shutil.copy(folder_of(finished, "evaluation-kd-2l-s3") / "answers-dev.parquet", path)
        inputs[f"RTE/evaluation-{number}"] = path
    spec = ReportSpec(
        base_model="bert",
        base_model_digest="0" * 64,
        presets=dict.fromkeys(inputs, "a preset"),
        failures={"RTE/kd-6l-s9": "it broke"},
    )
    stage = replace(report_stage(plan.run, [], {}, plan.models), spec=spec)
    work = folder / "work"
    work.mkdir()
    context = RunContext(plan.workspace, plan.model, {"RTE": plan.tasks["Tiny"]}, RunOptions())
    finished = FinishedFiles(work, folder)
    observer = LogObserver("report")
    job = Job(stage, work, folder / "resume", inputs, {}, context, observer, lambda: None, finished)
    facts = write_run_report(job, spec)
    assert facts.num_models == len(results)
    assert facts.failures == spec.failures
    return (work / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("hidden_size", "is_published"), [(768, True), (384, False)])
def test_published_scores_are_shown_for_teachers_of_the_published_size_only(
    hidden_size: int, is_published: bool, finished: tuple[Plan, Records, object], tmp_path: Path
) -> None:
    student = replace(
        read_result(folder_of(finished, "evaluation-kd-2l-s3")),
        task="RTE",
        num_layers=6,
        hidden_size=hidden_size,
    )
    teacher = replace(student, method="teacher", num_layers=12, seed=None, speed=None)
    page = report_of([teacher, student, replace(student, method="pkd-skip")], finished, tmp_path)
    lines = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith("| ")}
    for method, depth in (("teacher", 12), ("kd", 6), ("pkd-skip", 6)):
        score = published_score("RTE", method, depth, 12)
        assert score is not None
        assert (f" | {100 * score:.1f} |" in lines[f"{method}, {depth} layers"]) == is_published
    assert ("published" in lines["model"]) == is_published
    assert "it broke" in page
