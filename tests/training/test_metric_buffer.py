"""Buffered metrics reach the observer every 20 steps, and any value that is not finite is an error."""

import math
from collections.abc import Sequence

import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import SETTINGS, run

from pkd_core.errors import TrainingError
from pkd_core.training.metric_buffer import MetricBuffer, StepMetrics


def step_metrics(step: int, losses: Sequence[float] = (0.5, 0.5), gradient_norm: float = 1.0) -> StepMetrics:
    values = {
        name: torch.tensor(value)
        for name, value in zip(("train/total", "train/cross_entropy"), losses, strict=True)
    }
    return StepMetrics(step, 1.23456789e-3, [7, 8], values, torch.tensor(gradient_norm))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_value_that_is_not_finite_is_an_error_of_its_step(value: float, position: int) -> None:
    values = [0.5, 0.5, 1.0]
    values[position] = value
    observer = Recorder()
    buffer = MetricBuffer(observer)
    buffer.add(step_metrics(1))
    buffer.add(step_metrics(2, values[:2], values[2]))
    with pytest.raises(TrainingError) as caught:
        buffer.send()
    assert str(caught.value) == (
        f"step 2: expected finite losses, got total {values[0]:g}, cross_entropy {values[1]:g}, "
        f"gradient norm {values[2]:g} at learning rate 0.00123457 on the examples 7, 8; "
        "lower the learning rate, or check these examples"
    )
    assert list(observer.series("train/total")) == [1]


def test_the_mean_loss_is_of_one_epoch() -> None:
    buffer = MetricBuffer(Recorder())
    for step, loss in enumerate((1.0, 2.0, 6.0), start=1):
        buffer.add(step_metrics(step, (loss, 0.0)))
    assert buffer.end_epoch() == 3.0
    buffer.add(step_metrics(4, (5.0, 0.0)))
    assert buffer.end_epoch() == 5.0


class CountingRecorder(Recorder):
    """Keeps how many steps are recorded at each report of progress."""

    def __init__(self) -> None:
        super().__init__()
        self.num_recorded: list[int] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.num_recorded.append(len(self.series("train/total")))


def test_kept_metrics_do_not_keep_the_graph_of_their_step(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[torch.Tensor] = []
    monkeypatch.setattr(MetricBuffer, "send", lambda _: None)
    monkeypatch.setattr(MetricBuffer, "end_epoch", lambda _: 0.0)
    monkeypatch.setattr(MetricBuffer, "add", lambda _, step: kept.extend(step.values.values()))
    run(tiny_classifier(2), make_table(8))
    assert [value.requires_grad for value in kept] == [False] * 4


def test_metrics_are_recorded_every_20_steps_and_before_dev_is_scored() -> None:
    observer = CountingRecorder()
    settings = SETTINGS.model_copy(update={"batch_size": 1, "num_epochs": 1})
    run(tiny_classifier(2), make_table(43), settings, observer=observer)
    assert observer.num_recorded == [0] * 19 + [20] * 20 + [40] * 4 + [43]
