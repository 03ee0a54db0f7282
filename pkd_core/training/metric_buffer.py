"""Buffers the metrics of training steps, and reads them from the device a few steps at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pkd_core.errors import TrainingError
from pkd_core.runtime.observer import Observer

# Reading a value waits for the GPU: rare enough to cost nothing, often enough to follow a training.
_STEPS_BETWEEN_READS = 20


@dataclass(frozen=True)
class StepMetrics:
    """The metrics of one optimizer step.

    Attributes:
        step: The step, from 1.
        learning_rate: The step's learning rate.
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
    """Keeps metrics as tensors on the device, and sends them to the observer every few steps.

    Args:
        observer: Receives the metrics.

    Attributes:
        total: Sum of this epoch's total losses that were sent; set when a training is resumed.
        count: Number of those losses; set likewise.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._pending: list[StepMetrics] = []
        self.total = 0.0
        self.count = 0

    def add(self, metrics: StepMetrics) -> None:
        """Keep a step's metrics; every 20 steps, send them.

        Raises:
            TrainingError: If a loss or gradient of this or a recent step is not finite.
        """
        self._pending.append(metrics)
        if len(self._pending) == _STEPS_BETWEEN_READS:
            self.send()

    def end_epoch(self) -> float:
        """Send the kept metrics, return the epoch's mean total loss, and reset it for the next epoch.

        Raises:
            TrainingError: If a loss or gradient of a recent step is not finite.
        """
        self.send()
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean

    def send(self) -> None:
        """Send the kept metrics.

        Raises:
            TrainingError: If a loss or gradient of a recent step is not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = torch.stack([torch.stack([*step.values.values(), step.gradient_norm]) for step in pending])
        for step, row in zip(pending, rows.tolist(), strict=True):
            if not all(map(math.isfinite, row)):
                raise _not_finite(step, row)
            values = dict(zip(step.values, row, strict=False))
            self.total += values["train/total"]
            self.count += 1
            self._observer.metrics(step.step, values | {"train/learning_rate": step.learning_rate})


def _not_finite(step: StepMetrics, row: list[float]) -> TrainingError:
    names = [*(name.removeprefix("train/") for name in step.values), "gradient norm"]
    values = ", ".join(f"{name} {value:g}" for name, value in zip(names, row, strict=True))
    examples = ", ".join(map(str, step.example_ids))
    return TrainingError(
        f"step {step.step}: expected finite losses, got {values} at learning rate {step.learning_rate:g} on the "
        f"examples {examples}; lower the learning rate, or check these examples"
    )
