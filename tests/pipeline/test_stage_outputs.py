"""What a training leaves in its folder and record, and when a teacher's states are refused; nothing is trained."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import write_tiny_model, write_tiny_task
from transformers import AutoModelForSequenceClassification

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import TrainingError
from pkd_core.pipeline.build import build
from pkd_core.pipeline.facts import TrainingFacts
from pkd_core.pipeline.local import log_progress
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.stages import teacher_states, train_and_save
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import resume_folder
from pkd_core.training.loop import Training, TrainingResult
from pkd_core.training.metric_history import read_metrics

CPU = RunOptions(device="cpu")
HISTORY = [{"epoch": 1, "step": 6, "score": 0.75, "dev/accuracy": 0.75}]
POINTS = [(6, {"train/total": 0.5, "train/learning_rate": 1e-5}), (6, {"dev/accuracy": 0.75})]
RESULT = TrainingResult(2, 0.75, HISTORY, POINTS, 12, "float32")
FACTS = {"best_epoch": 2, "best_score": 0.75, "metric": "accuracy", "num_steps": 12, "precision": "float32"}
STATES_FACTS = {
    "rows": 48, "num_layers": 2, "hidden_size": 32, "num_outputs": 2, "dtype": "float16", "bytes": 6
}  # fmt: skip


class Trainer:
    """Stands in for the training: saves as often as asked, the last time with its own weights of the classifier."""

    def __init__(self, num_saves: int) -> None:
        self.num_saves = num_saves
        self.trainings: list[Training] = []
        self.disk_checks: list[tuple[Path, int, str]] = []

    def train(self, training: Training) -> TrainingResult:
        self.trainings.append(training)
        for value in range(self.num_saves):
            torch.nn.init.constant_(training.model.classifier.weight, value)
            training.save_best(training.model)
        return RESULT

    def check_disk(self, folder: Path, num_bytes: int, purpose: str) -> None:
        self.disk_checks.append((folder, num_bytes, purpose))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model", num_layers=2)
    run = build_run_config(tasks=["Tiny"], methods=["kd"], seeds=[1], model=str(tmp_path / "model"))
    return make_plan(run, tmp_path, device="cpu")


def build_stage(
    plan: Plan, position: int, inputs: Mapping[str, StageRecord], options: RunOptions = CPU
) -> Any:
    return build(plan.stages[position].stage, inputs, plan.context(options), log_progress)


@pytest.fixture
def train(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Callable[[Trainer], StageRecord]:
    def do(trainer: Trainer) -> StageRecord:
        monkeypatch.setattr(train_and_save, "train", trainer.train)
        monkeypatch.setattr(train_and_save, "check_disk_space", trainer.check_disk)
        record: StageRecord = build_stage(plan, 1, {"tokens": build_stage(plan, 0, {})})
        return record

    return do


Train = Callable[[Trainer], StageRecord]


def test_a_training_leaves_its_newest_best_model_its_course_and_its_facts(plan: Plan, train: Train) -> None:
    trainer = Trainer(num_saves=3)
    record = train(trainer)
    folder = plan.workspace / record.path
    assert record.facts == FACTS
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]
    weight = load_file(folder / "model.safetensors")["classifier.weight"]
    assert torch.equal(weight, torch.full_like(weight, 2.0)), "the last that was saved"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (plan.model.folder / name).read_bytes()
    course = {
        "best_epoch": 2,
        "best_score": 0.75,
        "config": plan.stages[1].stage.config,
        "history": HISTORY,
        "metric": "accuracy",
        "num_steps": 12,
        "precision": "float32",
    }
    text = (folder / "training.json").read_text(encoding="utf-8")
    assert text == json.dumps(course, indent=2, sort_keys=True) + "\n"
    assert (folder / "metrics.jsonl").read_text(encoding="utf-8") == (
        '{"step": 6, "train/total": 0.5, "train/learning_rate": 1e-05}\n{"step": 6, "dev/accuracy": 0.75}\n'
    )
    assert list(read_metrics(folder)) == POINTS


def test_a_training_needs_room_for_two_checkpoints_or_for_one_more(plan: Plan, train: Train) -> None:
    trainer = Trainer(num_saves=1)
    folder = plan.workspace / train(trainer).path
    size = 12 * AutoModelForSequenceClassification.from_pretrained(folder).num_parameters()
    stage = plan.stages[1].stage
    work = plan.workspace / stage.address.work_folder
    inputs = read_manifest(folder).inputs
    folder.rename(folder.with_name("elsewhere"))
    with StageStore(plan.workspace).writing(stage.address, inputs):
        (resume_folder(work) / "checkpoint").mkdir()
    train(trainer)
    purpose = "training checkpoints"
    assert trainer.disk_checks == [(work, 2 * size, purpose), (work, size, purpose)]


def test_the_best_weights_belong_to_a_checkpoint_and_what_a_killed_save_left_is_removed(
    plan: Plan, train: Train
) -> None:
    build_stage(plan, 0, {})
    stage = plan.stages[1].stage
    folder = plan.workspace / train(Trainer(num_saves=1)).path
    inputs = read_manifest(folder).inputs
    folder.rename(folder.with_name("elsewhere"))
    with StageStore(plan.workspace).writing(stage.address, inputs) as work:
        (work / "best.part").mkdir()
        (work / "best.part" / "model.safetensors").write_bytes(b"half of")
        (work / "model.safetensors").write_bytes(b"the best so far")
    trainer = Trainer(num_saves=0)
    train(trainer)
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]
    assert (folder / "model.safetensors").read_bytes() == b"the best so far"
    checkpoints = trainer.trainings[0].checkpoints
    assert checkpoints is not None
    assert checkpoints.folder == resume_folder(work) / "checkpoint"
    assert checkpoints._companions == ("config.json", "model.safetensors")


def states_of_teacher(plan: Plan, best_score: float, strict: bool) -> StageRecord:
    """Extract the states of a teacher with this dev score."""
    tokens = build_stage(plan, 0, {})
    store, stage = StageStore(plan.workspace), plan.stages[1].stage
    inputs = {"tokens": tokens.digest, **stage.sources}
    with store.writing(stage.address, inputs) as work:
        (work / "model.safetensors").write_bytes(b"weights")
        facts = TrainingFacts.model_validate(FACTS | {"best_score": best_score}).model_dump(mode="json")
        teacher = store.publish(
            stage.address, code_version=2, config=stage.config, inputs=inputs, facts=facts
        )
    options = RunOptions(device="cpu", strict=strict)
    record: StageRecord = build_stage(plan, 3, {"tokens": tokens, "teacher": teacher}, options)
    return record


def sentence(plan: Plan) -> tuple[float, str]:
    """Return the best constant answer's accuracy on dev, and what is said of a teacher that scores the same."""
    lines = (plan.workspace / "data_raw" / "Tiny" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    labels = [line.split("\t")[1] for line in lines]
    baseline = max(map(labels.count, labels)) / len(labels)
    return baseline, (
        "Tiny/teacher-states needs a teacher that is better than always giving the most frequent answer "
        f"(accuracy {baseline:.3f} on dev), got {baseline:.3f}; train it with another learning rate or longer"
    )


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Stands in for the extraction, and notes what it is given."""
    calls: list[tuple[object, ...]] = []

    def extract(
        model: object,
        table: TokenTable,
        work: Path,
        dtype: str,
        _: Observer,
        *,
        device: torch.device,
        finished: object,
        group: object,
    ) -> dict[str, Any]:
        calls.append((model, len(table), dtype, device))
        (work / "states").write_bytes(b"states")
        return STATES_FACTS

    monkeypatch.setattr(teacher_states, "extract", extract)
    monkeypatch.setattr(teacher_states, "load_classifier", lambda folder: folder)
    return calls


def test_the_states_are_those_of_the_teacher_on_the_training_split(
    plan: Plan, extracted: list[tuple[object, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    record = states_of_teacher(plan, sentence(plan)[0] + 0.001, strict=True)
    teacher = plan.workspace / plan.stages[1].stage.address.folder
    assert extracted == [(teacher, 48, "float16", torch.device("cpu"))]
    assert record.facts == STATES_FACTS
    assert caplog.messages == []


def test_a_teacher_no_better_than_a_constant_answer_is_refused_or_with_leave_reported(
    plan: Plan, extracted: list[tuple[object, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    baseline, expected = sentence(plan)
    with pytest.raises(TrainingError) as caught:
        states_of_teacher(plan, baseline, strict=True)
    assert str(caught.value) == expected
    assert extracted == []
    with caplog.at_level(logging.WARNING):
        states_of_teacher(plan, baseline, strict=False)
    assert caplog.messages == [f"{expected} (--strict stops here)"]
    assert len(extracted) == 1
