"""How long training steps take, measured for some seconds before anything is trained."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.task import Task
from pkd_core.data.token_table import TokenTable
from pkd_core.model.loading import build_classifier
from pkd_core.runtime.threads import computing_with
from pkd_core.training.loop import Training, train

_MAX_SECONDS = 10.0
# Of a training step's time, what predicting as many examples takes: a third of the operations, in float32 where a
# training may compute in bfloat16. Measured: 0.42 to 0.52.
_FORWARD = 1 / 2


@dataclass(frozen=True)
class StepTimes:
    """How long a model's training takes for an example of average length, in seconds.

    Attributes:
        base: What does not depend on the depth.
        per_layer: What each layer adds.
    """

    base: float
    per_layer: float

    def training(self, num_layers: int, num_examples: int) -> float:
        """Return the seconds of training on so many examples, each epoch counted; distilling takes the same."""
        return (self.base + self.per_layer * num_layers) * num_examples

    def forward(self, num_layers: int, num_examples: int) -> float:
        """Return the seconds of predicting so many examples."""
        return _FORWARD * self.training(num_layers, num_examples)


def step_times_between(one_layer: float, all_layers: float, num_layers: int) -> StepTimes:
    """Return the times of every depth, which grow evenly, from those of two.

    Args:
        one_layer: Seconds an example with one layer.
        all_layers: Seconds an example with all layers.
        num_layers: How many these are.
    """
    if num_layers == 1:
        return StepTimes(0.0, all_layers)
    # On a busy machine either may be measured far too long.
    per_layer = min(max((all_layers - one_layer) / (num_layers - 1), 0.0), all_layers / num_layers)
    return StepTimes(all_layers - num_layers * per_layer, per_layer)


def measure_step_times(
    folder: Path,
    num_layers: int,
    task: Task,
    tokens: Path,
    settings: TrainingConfig,
    device: torch.device,
    threads: int,
    max_seconds: float = _MAX_SECONDS,
) -> StepTimes:
    """Train a model for a few steps with one layer and with all, and return what a step takes an example.

    Args:
        folder: The pretrained model.
        num_layers: Its depth.
        task: The task.
        tokens: Folder of its tokens by the model's tokenizer.
        settings: How it will be trained.
        device: Where to compute.
        threads: CPU threads to compute with.
        max_seconds: When to stop, besides loading: after the step in which half of this is over, for each depth.
    """
    table = TokenTable.load(tokens, "train")

    def seconds_an_example(depth: int) -> float:
        steps = _SomeSteps(max_seconds / 2)
        training = Training(
            model=build_classifier(folder, task, seed=0, layers=range(1, depth + 1)),
            train_table=table,
            dev_table=table,
            settings=settings.model_copy(update={"num_epochs": 1}),
            seed=0,
            metrics=task.metrics,
            is_regression=task.is_regression,
            objective=None,
            save_best=lambda _: None,
            checkpoints=None,
            observer=steps,
            device=device,
        )
        steps.start()
        with suppress(_EnoughError):
            train(training)
        return steps.seconds_a_step / min(settings.batch_size, len(table))

    with computing_with(threads):
        return step_times_between(seconds_an_example(1), seconds_an_example(num_layers), num_layers)


class _EnoughError(Exception):
    """Ends a training that was only to be timed."""


class _SomeSteps:
    """An observer that notes when each step ends, and stops the training once the time is over."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._begin = 0.0
        self._ends: list[float] = []

    def start(self) -> None:
        """Let the time begin."""
        self._begin = time.monotonic()

    @property
    def seconds_a_step(self) -> float:
        """The mean, without the first step where there are others: it prepares what later ones use again."""
        ends = self._ends
        return (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else ends[0] - self._begin

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Note the end of a step.

        Raises:
            _EnoughError: The time is over, or the last step is done.
        """
        self._ends.append(time.monotonic())
        if self._ends[-1] - self._begin >= self._max_seconds or done == total:
            raise _EnoughError

    def flush(self) -> None:
        """Do nothing."""
