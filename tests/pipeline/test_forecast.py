"""A first run is forecast from the time of some training steps."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import TrainingConfig
from pkd_core.model.loading import build_classifier, save_classifier
from pkd_core.pipeline import step_times
from pkd_core.pipeline.forecast import forecast_seconds
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import Plan, find_inputs, make_plan, plan_stages
from pkd_core.pipeline.step_times import StepTimes, measure_step_times, step_times_between
from pkd_core.training.loop import Training

# A second for the embeddings and ten for each layer, an example.
TIMES = StepTimes(base=1.0, per_layer=10.0)
ROWS = {"train": 48, "dev": 24, "test": 6}
STUDENT_EXAMPLE, TEACHER_EXAMPLE = 21.0, 41.0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forecast")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model", num_layers=4)
    return root


def plan(workspace: Path, *methods: str, **settings: object) -> Plan:
    changes = {"teacher.num_epochs": 3, "student.num_epochs": 2, **settings}
    run = build_run_config(
        tasks=["Tiny"], methods=methods, seeds=[1], model=str(workspace / "model"), settings=changes
    )
    return make_plan(run, workspace, device="cpu")


def forecast(planned: Plan, rows: dict[str, int] = ROWS) -> dict[str, float]:
    found = forecast_seconds(planned, rows, {planned.model.weights: TIMES})
    return {key.removeprefix("Tiny/"): seconds for key, seconds in found.items()}


def test_stages_take_what_their_examples_layers_and_epochs_do(workspace: Path) -> None:
    found = forecast(plan(workspace, "kd"))
    # Predicting takes half as long as training.
    assert found == pytest.approx(
        {
            "teacher": 3 * TEACHER_EXAMPLE * (48 + 24 / 2),
            "evaluation-teacher": TEACHER_EXAMPLE * 30 / 2,
            "teacher-states": TEACHER_EXAMPLE * 48 / 2,
            "speed-2l": 30.0,
            "kd-2l-s1": 2 * STUDENT_EXAMPLE * (48 + 24 / 2),
            "evaluation-kd-2l-s1": STUDENT_EXAMPLE * 30 / 2,
        }
    )


def test_texts_without_labels_and_copies_count_for_distilled_students_and_their_states(
    workspace: Path,
) -> None:
    planned = plan(workspace, "kd", "finetune", **{"transfer.num_copies": 2})
    found = forecast(planned, ROWS | {"unlabelled": 1000})
    assert found["transfer-states"] == pytest.approx(TEACHER_EXAMPLE * 1096 / 2)
    assert found["kd-2l-s1"] == pytest.approx(2 * STUDENT_EXAMPLE * (48 + 1096 + 24 / 2))
    assert found["finetune-2l-s1"] == pytest.approx(2 * STUDENT_EXAMPLE * (48 + 24 / 2))
    assert found["evaluation-kd-2l-s1"] == pytest.approx(STUDENT_EXAMPLE * 30 / 2)
    without = plan(workspace, "kd", **{"transfer.num_copies": 2, "transfer.unlabelled": False})
    assert forecast(without, ROWS | {"unlabelled": 1000})["transfer-states"] == pytest.approx(
        TEACHER_EXAMPLE * 96 / 2
    )


def test_nothing_is_forecast_of_a_model_that_was_not_measured(workspace: Path) -> None:
    assert forecast_seconds(plan(workspace, "kd"), ROWS, {"another": TIMES}) == {}


def test_nothing_is_forecast_of_an_own_teacher_that_is_unlike_the_students(workspace: Path) -> None:
    planned = plan(workspace, "kd")
    shutil.copytree(workspace / "model", workspace / "own", dirs_exist_ok=True)
    save_classifier(build_classifier(workspace / "own", planned.tasks["Tiny"], seed=0), workspace / "own")
    model = str(workspace / "model")
    run = build_run_config(
        tasks=["Tiny"],
        methods=["kd"],
        seeds=[1],
        teachers=[str(workspace / "own")],
        student_model=model,
        settings={"student.num_epochs": 2},
    )
    found = forecast(make_plan(run, workspace, device="cpu"))
    assert found.keys() == {"speed-2l", "kd-2l-s1", "evaluation-kd-2l-s1"}


@pytest.mark.parametrize(
    ("one_layer", "all_layers", "expected"),
    [(3.0, 9.0, StepTimes(1.0, 2.0)), (9.0, 8.0, StepTimes(8.0, 0.0)), (0.5, 8.0, StepTimes(0.0, 2.0))],
)
def test_the_time_grows_evenly_with_depth(one_layer: float, all_layers: float, expected: StepTimes) -> None:
    found = step_times_between(one_layer, all_layers, 4)
    assert (found.base, found.per_layer) == pytest.approx((expected.base, expected.per_layer))
    assert found.training(4, 5) == pytest.approx(5 * all_layers)
    assert step_times_between(7.0, 7.0, 1).training(1, 1) == 7.0


@pytest.fixture(scope="module")
def tokens(workspace: Path) -> Path:
    planned = plan(workspace, "kd")
    stage = planned.stages[0].stage
    run = planned.run
    only = plan_stages(run, workspace, find_inputs(run, workspace, "cpu"), [stage])
    (record,) = build_stages(only, RunOptions(device="cpu")).values()
    return workspace / record.path


@pytest.mark.parametrize(
    ("batch_size", "max_seconds", "expected_steps"), [(8, 1000, 6), (8, 50, 4), (48, 1000, 1), (64, 0, 1)]
)
def test_steps_are_timed_until_the_time_is_over(
    workspace: Path,
    tokens: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    max_seconds: float,
    expected_steps: int,
) -> None:
    now = SimpleNamespace(seconds=0.0)
    steps: list[int] = []

    def train(training: Training) -> None:
        depth = training.model.config.num_hidden_layers
        now.seconds += 5.0  # of preparation
        for step in range(1, training.num_steps + 1):
            steps.append(depth)
            now.seconds += depth + 4
            training.observer.progress(step, training.num_steps, "steps")

    monkeypatch.setattr(step_times, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(step_times, "train", train)
    planned = plan(workspace, "kd")
    found = measure_step_times(
        planned.model.folder,
        4,
        planned.tasks["Tiny"],
        tokens,
        TrainingConfig(num_epochs=7, batch_size=batch_size),
        torch.device("cpu"),
        1,
        max_seconds,
    )
    assert steps.count(1) == expected_steps
    preparation = 5.0 if expected_steps == 1 else 0.0
    assert found.training(4, min(batch_size, 48)) == pytest.approx(8.0 + preparation)
    assert found.training(1, min(batch_size, 48)) == pytest.approx(5.0 + preparation)


def test_a_real_training_can_be_timed(workspace: Path, tokens: Path) -> None:
    planned = plan(workspace, "kd")
    settings = TrainingConfig(batch_size=8)
    device = torch.device("cpu")
    folder, task = planned.model.folder, planned.tasks["Tiny"]
    found = measure_step_times(folder, 4, task, tokens, settings, device, 1, max_seconds=1000)
    assert found.training(4, 1) > 0
