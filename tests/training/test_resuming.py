"""A training that was stopped or killed ends as if it had not been."""

from pathlib import Path

import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import SETTINGS, objective, run

from pkd_core.data.token_table import TokenTable
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.loop import TrainingResult
from pkd_core.training.objective import Objective


class Stop(Recorder):
    """Asks to stop after a step, or breaks off there as if the process were killed."""

    def __init__(self, step: int, error: type[BaseException]) -> None:
        super().__init__()
        self._step = step
        self._error = error

    def progress(self, done: int, total: int, unit: str) -> None:
        super().progress(done, total, unit)
        if done == self._step:
            raise self._error("stopped here")


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def resumed_training(
    folder: Path, table: TokenTable, goal: Objective | None, stops: list[tuple[int, type[BaseException]]]
) -> tuple[TrainingResult, dict[str, torch.Tensor], dict[int, float]]:
    """Train with interruptions, each attempt from a fresh model; return result, weights and the losses told."""
    losses: dict[int, float] = {}
    settings = SETTINGS.model_copy(update={"num_epochs": 3})
    for step, error in [*stops, (0, Killed)]:
        model, observer = tiny_classifier(num_layers=2), Stop(step, error)
        checkpoints = Checkpoints(folder, 0.0 if error is Killed else 1e9)
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
    whole = resumed_training(tmp_path / "whole", table, goal, [])
    # In the first epoch, at the end of the second (5 steps each), while that is scored, and right after going on.
    moments = [(3, error), (10, error), (10, error), (11, error)]
    stopped = resumed_training(tmp_path / "stopped", table, goal, moments)
    assert stopped[0] == whole[0]
    assert stopped[2] == whole[2]
    for name, value in whole[1].items():
        assert torch.equal(stopped[1][name], value), name


def test_going_on_tells_no_step_again_and_settles_before_each_checkpoint(tmp_path: Path) -> None:
    table = make_table(70)
    first, second = Stop(7, StoppedError), Recorder()
    with pytest.raises(StoppedError):
        run(tiny_classifier(2), table, observer=first, checkpoints=Checkpoints(tmp_path, 1e9))
    assert list(first.series("train/total")) == list(range(1, 8))
    assert first.num_flushed == 2
    run(tiny_classifier(2), table, observer=second, checkpoints=Checkpoints(tmp_path, 1e9))
    assert list(second.series("train/total")) == list(range(8, 11))
