"""Losses on their way from the device to the observer, a few steps at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pkd_core.errors import TrainingError
from pkd_core.runtime.observer import Observer

# Reading a value waits for the GPU to compute it: seldom enough to cost nothing, often enough to watch.
_STEPS_BETWEEN_READS = 20


@dataclass(frozen=True)
class StepMetrics:
    """What one optimizer step tells.

    Attributes:
        step: Counted from 1.
        learning_rate: Used by the step.
        example_ids: The examples of its batch.
        values: Scalars on the device by metric name, such as "train/total".
        gradient_norm: Global norm before clipping; a scalar on the device.
    """

    step: int
    learning_rate: float
    example_ids: list[int]
    values: Mapping[str, Tensor]
    gradient_norm: Tensor


class MetricBuffer:
    """Keeps losses as tensors, and sends them to the observer every few steps.

    Args:
        observer: Who is told.

    Attributes:
        total: Sum of the epoch's total losses that were sent; may be set, to go on from there.
        count: Their number; likewise.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._waiting: list[StepMetrics] = []
        self.total = 0.0
        self.count = 0

    def add(self, losses: StepMetrics) -> None:
        """Keep a step's losses; now and then, send what is kept.

        Raises:
            TrainingError: If a loss or gradient of this or a recent step is not finite.
        """
        self._waiting.append(losses)
        if len(self._waiting) == _STEPS_BETWEEN_READS:
            self.send()

    def end_epoch(self) -> float:
        """Send what is kept, return the epoch's mean total loss, and begin another.

        Raises:
            TrainingError: If a loss or gradient of a recent step is not finite.
        """
        self.send()
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean

    def send(self) -> None:
        """Send what is kept.

        Raises:
            TrainingError: If a loss or gradient of a recent step is not finite.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        rows = torch.stack([torch.stack([*step.values.values(), step.gradient_norm]) for step in waiting])
        for step, row in zip(waiting, rows.tolist(), strict=True):
            if not all(map(math.isfinite, row)):
                raise _not_finite(step, row)
            values = dict(zip(step.values, row, strict=False))
            self.total += values["train/total"]
            self.count += 1
            self._observer.metrics(step.step, values | {"train/learning_rate": step.learning_rate})


def _not_finite(step: StepMetrics, row: list[float]) -> TrainingError:
    names = [*(name.removeprefix("train/") for name in step.values), "gradient norm"]
    told = ", ".join(f"{name} {value:g}" for name, value in zip(names, row, strict=True))
    examples = ", ".join(map(str, step.example_ids))
    return TrainingError(
        f"step {step.step}: expected finite losses, got {told} at learning rate {step.learning_rate:g} on the "
        f"examples {examples}; lower the learning rate, or look at these examples"
    )
