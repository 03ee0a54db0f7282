"""A training that was stopped or killed and resumed ends as if it had not been interrupted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import CPU, SETTINGS, objective, run

from pkd_core.data.token_table import TokenTable
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.training.checkpoints import Checkpoint, Checkpoints
from pkd_core.training.loop import Training, TrainingResult
from pkd_core.training.objective import Objective
from pkd_core.training.run import save_checkpoint, start_run


class Stop(Recorder):
    """Raises an error after a step."""

    def __init__(self, step: int, error: type[BaseException]) -> None:
        super().__init__()
        self._step = step
        self._error = error

    def progress(self, done: int, total: int, unit: str) -> None:
        super().progress(done, total, unit)
        if done == self._step:
            raise self._error("stopped here")


class Killed(BaseException):
    """Stands for the end of the process: nothing in pkd catches it."""


def resumed_training(
    folder: Path, table: TokenTable, goal: Objective | None, stops: list[tuple[int, type[BaseException]]]
) -> tuple[TrainingResult, dict[str, torch.Tensor], dict[int, float]]:
    """Train with interruptions, each attempt from a new model; return result, weights and the recorded losses."""
    losses: dict[int, float] = {}
    settings = SETTINGS.model_copy(update={"num_epochs": 3})
    for step, error in [*stops, (0, Killed)]:
        model, observer = tiny_classifier(num_layers=2), Stop(step, error)
        checkpoints = Checkpoints(folder, folder, 0.0 if error is Killed else 1e9)
        try:
            result = run(model, table, settings, objective=goal, observer=observer, checkpoints=checkpoints)
        except error:
            losses |= observer.series("train/total")
        else:
            losses |= observer.series("train/total")
            return result, model.state_dict(), losses
    raise AssertionError("the last attempt is not interrupted")


@pytest.mark.parametrize("distils", [False, True])
@pytest.mark.parametrize("error", [StoppedError, Killed])
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, distils: bool, error: type[BaseException]
) -> None:
    table = make_table(70)
    goal = objective(tmp_path / "states", table) if distils else None
    expected = resumed_training(tmp_path / "uninterrupted", table, goal, [])
    # In the first epoch, at the end of the second (5 steps each), while that is scored, and right after resuming.
    interruptions = [(3, error), (10, error), (10, error), (11, error)]
    stopped = resumed_training(tmp_path / "stopped", table, goal, interruptions)
    assert stopped[0] == expected[0]
    assert stopped[2] == expected[2]
    for name, value in expected[1].items():
        assert torch.equal(stopped[1][name], value), name


def test_a_resumed_training_says_so_and_records_no_step_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pkd_core")
    table = make_table(70)
    first, second = Stop(7, StoppedError), Recorder()
    with pytest.raises(StoppedError):
        run(tiny_classifier(2), table, observer=first, checkpoints=Checkpoints(tmp_path, tmp_path, 1e9))
    assert list(first.series("train/total")) == list(range(1, 8))
    assert first.num_flushed == 2
    assert caplog.messages == []
    run(tiny_classifier(2), table, observer=second, checkpoints=Checkpoints(tmp_path, tmp_path, 1e9))
    assert list(second.series("train/total")) == list(range(8, 11))
    assert caplog.messages == ["resuming from step 7 of 10"]


class FlushedSteps(Recorder):
    """Keeps which steps were recorded at the last flush."""

    def flush(self) -> None:
        super().flush()
        self.steps = list(self.series("train/total"))


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, [1, 2, 3, 3, 4, 5, 6, 6]), (1e9, [3, 6])])
def test_checkpoints_are_saved_after_each_epoch_and_when_due_with_the_steps_before_recorded_and_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: list[int]
) -> None:
    observer = FlushedSteps()
    saved: list[tuple[int, int]] = []
    save = Checkpoints.save

    def observed_save(checkpoints: Checkpoints, checkpoint: Checkpoint) -> None:
        step = checkpoint.state["step"]
        assert checkpoint.state["checkpoint_step"] == step
        assert observer.steps == list(range(1, step + 1))
        saved.append((step, observer.num_flushed))
        save(checkpoints, checkpoint)

    monkeypatch.setattr(Checkpoints, "save", observed_save)
    run(
        tiny_classifier(2),
        make_table(40),
        observer=observer,
        checkpoints=Checkpoints(tmp_path, tmp_path, seconds),
    )
    assert saved == [(step, number) for number, step in enumerate(steps, start=1)]


def test_the_best_weights_of_a_resumed_training_are_compared_with_the_earlier_best(tmp_path: Path) -> None:
    table, saved = make_table(32), []
    settings = SETTINGS.model_copy(update={"num_epochs": 3, "learning_rate": 1e-20})
    with pytest.raises(StoppedError):
        run(
            tiny_classifier(2),
            table,
            settings,
            observer=Stop(3, StoppedError),
            checkpoints=Checkpoints(tmp_path, tmp_path, 1e9),
        )
    result = run(
        tiny_classifier(2),
        table,
        settings,
        checkpoints=Checkpoints(tmp_path, tmp_path, 1e9),
        save_best=saved.append,
    )
    assert result.best_epoch == 1
    assert saved == []


@pytest.mark.parametrize(("optimizer", "expected"), [("adamw", 3.0), ("bert-adam", 1e8)])
def test_a_checkpoint_that_counted_few_steps_continues_by_its_own_rule(
    optimizer: str, expected: float, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": optimizer})
    training = Training(
        model=tiny_classifier(2),
        train_table=make_table(8),
        dev_table=make_table(8),
        settings=settings,
        seed=1,
        metrics=("accuracy",),
        is_regression=False,
        objective=None,
        save_best=lambda _: None,
        checkpoints=Checkpoints(tmp_path, tmp_path, 1e9),
        observer=Recorder(),
        device=CPU,
    )
    begun = start_run(training)
    for values in begun.optimizer.state.values():
        values["step"].fill_(3.0)
    save_checkpoint(begun)
    resumed = start_run(replace(training, model=tiny_classifier(2)))
    steps = {values["step"].item() for values in resumed.optimizer.state.values()}
    assert steps == {expected}
