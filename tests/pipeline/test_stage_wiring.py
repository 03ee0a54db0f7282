"""Each setting and option arrives where it acts: what a stage passes to the training, compared with the request."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.stages import train_and_save
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.heads import Heads
from pkd_core.training.loop import Training, TrainingResult, train

TEACHER_DEPTH = 4
SETTINGS = {
    "compute.threads": 1,
    "teacher.num_epochs": 1,
    "teacher.learning_rate": 1e-3,
    "speed.max_seconds": 0,
}


@dataclass
class Captured:
    """What the trainings of a run were given."""

    trainings: list[Training]
    checkpoint_seconds: list[float]

    def student(self) -> Training:
        (training,) = (one for one in self.trainings if one.model.config.num_hidden_layers < TEACHER_DEPTH)
        return training


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with tokens, teacher and teacher states."""
    root = tmp_path_factory.mktemp("wiring")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model", TEACHER_DEPTH)
    return root


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    """Let the teacher be trained, and only record what a student's training is given."""
    seen = Captured([], [])

    class SpyCheckpoints(Checkpoints):
        def __init__(self, resume: Path, work: Path, seconds_between: float, **more: Any) -> None:
            seen.checkpoint_seconds.append(seconds_between)
            super().__init__(resume, work, seconds_between, **more)

    def spy(training: Training) -> TrainingResult:
        seen.trainings.append(training)
        if training.model.config.num_hidden_layers == TEACHER_DEPTH:
            return train(training)
        training.save_best(training.model)
        return TrainingResult(1, 0.5, [], [], 0, "float32")

    monkeypatch.setattr(train_and_save, "train", spy)
    monkeypatch.setattr(train_and_save, "Checkpoints", SpyCheckpoints)
    yield seen


def run(
    root: Path, method: str = "pkd-skip", seed: int = 1, options: RunOptions | None = None, **settings: Any
) -> Path:
    """Run the pipeline, and return the teacher's folder."""
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    config = build_run_config(
        tasks=["Tiny"],
        methods=[method],
        student_layers=[3] if method == "pkd-last" else [2],
        seeds=[seed],
        model=str(root / "model"),
        settings=SETTINGS | dotted,
    )
    records = run_plan(make_plan(config, root, device="cpu"), options or RunOptions(device="cpu"))
    return root / records["Tiny/teacher"].path


def test_every_distillation_setting_reaches_the_objective(workspace: Path, captured: Captured) -> None:
    run(
        workspace,
        distill__alpha=0.25,
        distill__temperature=7.0,
        distill__beta=3.0,
        distill__normalize=False,
        distill__distillation_reduction="batch_mean",
        distill__patience_reduction="element_mean",
    )
    objective = captured.student().objective
    assert objective is not None
    assert (objective.alpha, objective.temperature, objective.beta) == (0.25, 7.0, 3.0)
    assert objective.normalize is False
    assert objective.distillation_reduction == "batch_mean"
    assert objective.patience_reduction == "element_mean"
    assert objective.layer_map == ((1, 2),)
    assert objective.teacher_states.shape.num_layers == TEACHER_DEPTH
    assert len(objective.teacher_states) == len(captured.student().train_table)


def test_the_loss_with_the_teachers_logits_and_its_weights_reach_the_objective(
    workspace: Path, captured: Captured
) -> None:
    run(
        workspace,
        distill__distillation_loss="dkd",
        distill__dkd_target_weight=2.0,
        distill__dkd_other_weight=3.0,
    )
    objective = captured.student().objective
    assert objective is not None
    assert objective.distillation_loss == "dkd"
    assert (objective.dkd_target_weight, objective.dkd_other_weight) == (2.0, 3.0)


def test_heads_on_the_inner_layers_reach_the_objective(workspace: Path, captured: Captured) -> None:
    run(workspace, "kd.full", seed=5, distill__first_head_layer=1, distill__head_weight=0.25)
    objective = captured.student().objective
    assert objective is not None and objective.heads is not None
    assert (objective.heads.layers, objective.head_weight, objective.beta) == ((1,), 0.25, 0.0)
    expected = Heads((1,), captured.student().model.config.hidden_size, 2, 0.02, seed=5)
    assert torch.equal(objective.heads.weights_CD[0], expected.weights_CD[0])


def test_normalize_is_passed_on_as_it_is(workspace: Path, captured: Captured) -> None:
    run(workspace, distill__normalize=True, distill__patience_reduction="batch_mean")
    objective = captured.student().objective
    assert objective is not None
    assert objective.normalize is True
    assert objective.patience_reduction == "batch_mean"


@pytest.mark.parametrize(
    ("method", "layer_map"), [("pkd-skip", ((1, 2),)), ("pkd-last", ((1, 2), (2, 3))), ("kd", ())]
)
def test_each_method_matches_its_own_layers(
    method: str, layer_map: tuple[tuple[int, int], ...], workspace: Path, captured: Captured
) -> None:
    run(workspace, method)
    objective = captured.student().objective
    assert objective is not None
    assert objective.layer_map == layer_map
    assert (objective.beta > 0) == bool(layer_map)


def test_plain_fine_tuning_has_no_objective(workspace: Path, captured: Captured) -> None:
    run(workspace, "finetune")
    assert captured.student().objective is None


def test_every_training_setting_reaches_the_loop(workspace: Path, captured: Captured) -> None:
    values = {
        "learning_rate": 3e-4,
        "num_epochs": 7,
        "batch_size": 5,
        "accumulation_steps": 2,
        "warmup_fraction": 0.3,
        "weight_decay": 0.2,
        "max_grad_norm": 0.7,
        "precision": "float32",
        "optimizer": "bert-adam",
        "shuffle": False,
        "schedule": "full-batches",
        "standardize_scores": True,
    }
    run(workspace, "finetune", seed=9, **{f"student__{key}": value for key, value in values.items()})
    training = captured.student()
    assert training.settings.model_dump() == values | {"init": "pretrained-first"}
    assert training.seed == 9
    assert training.metrics == ("accuracy", "f1")
    assert not training.is_regression
    assert training.device == torch.device("cpu")


def test_a_training_learns_from_train_and_is_scored_on_dev(workspace: Path, captured: Captured) -> None:
    run(workspace, "finetune", seed=10)
    training = captured.student()
    assert (len(training.train_table), len(training.dev_table)) == (48, 24)


def test_the_teachers_seed_and_settings_are_its_own(workspace: Path, captured: Captured) -> None:
    run(workspace, "finetune", teacher__seed=5, student__learning_rate=9e-4)
    teacher = captured.trainings[0]
    assert (teacher.seed, teacher.settings.learning_rate, teacher.settings.num_epochs) == (5, 1e-3, 1)
    assert teacher.objective is None


@pytest.mark.parametrize(
    ("init", "source", "layers"),
    [
        ("pretrained-first", "model", (0, 1)),
        ("teacher-first", "teacher", (0, 1)),
        ("teacher-skip", "teacher", (1, 3)),
    ],
)
def test_a_student_starts_from_the_layers_that_init_names(
    init: str, source: str, layers: tuple[int, ...], workspace: Path, captured: Captured
) -> None:
    teacher = run(workspace, "kd", seed=15, student__init=init)
    folder, prefix = (workspace / "model", "") if source == "model" else (teacher, "bert.")
    weights = load_file(folder / "model.safetensors")
    student = captured.student().model.bert.encoder.layer
    assert len(student) == len(layers)
    for layer, copied in zip(student, layers, strict=True):
        name = f"{prefix}encoder.layer.{copied}.output.dense.weight"
        assert torch.equal(layer.output.dense.weight, weights[name])


def test_the_seed_draws_the_new_classifier(workspace: Path, captured: Captured) -> None:
    run(workspace, "finetune", seed=20)
    run(workspace, "finetune", seed=21)
    first, second = (one.model.classifier.weight for one in captured.trainings if one.seed in (20, 21))
    assert not torch.equal(first, second)


def test_checkpoint_minutes_are_minutes(workspace: Path, captured: Captured) -> None:
    run(workspace, "finetune", seed=30, options=RunOptions(device="cpu", checkpoint_minutes=0.5))
    assert captured.checkpoint_seconds == [30.0]


def test_the_device_option_is_the_device_of_the_training(
    workspace: Path, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[str] = []

    def find(name: str) -> torch.device:
        requested.append(name)
        return torch.device("cpu")

    monkeypatch.setattr("pkd_core.pipeline.job.find_device", find)
    run(workspace, "finetune", seed=31, options=RunOptions(device="cuda:3"))
    assert set(requested) == {"cuda:3"}
