"""pkd's training steps, measured as a user runs them: through `train`, with prefetched batches."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from transformers import BertForSequenceClassification

from benchmarks.workload import Size, first_rows, make_model
from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.method.layer_map import skip_layers
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.runtime.observer import Observer
from pkd_core.runtime.precision import Precision
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.loop import Training, train
from pkd_core.training.objective import Objective

_WARMUP_STEPS = 8


class Stopwatch:
    """An observer that records when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore the losses."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Record the time."""
        self.ends.append(time.perf_counter())

    def flush(self) -> None:
        """Do nothing."""

    def seconds(self, num_warmup: int = _WARMUP_STEPS) -> float:
        """Return the median step time, without the warm-up steps."""
        return float(np.median(np.diff(self.ends)[num_warmup:]))


def step_seconds(
    model: BertForSequenceClassification,
    table: TokenTable,
    objective: Objective | None,
    precision: Precision,
    device: torch.device,
) -> float:
    """Train for one epoch and return the median seconds of a step."""
    stopwatch = Stopwatch()
    settings = TrainingConfig(learning_rate=1e-5, num_epochs=1, precision=precision)
    train_observed(model, table, settings, stopwatch, device, objective)
    return stopwatch.seconds()


def train_observed(
    model: BertForSequenceClassification,
    table: TokenTable,
    settings: TrainingConfig,
    observer: Observer,
    device: torch.device,
    objective: Objective | None = None,
    group: Group = ONE_PROCESS,
) -> None:
    """Train as a user does, with next to nothing to score, and keep nothing but what the observer is told."""
    train(
        Training(
            model=model,
            train_table=table,
            dev_table=first_rows(table, 32),
            settings=settings,
            seed=1,
            metrics=("accuracy",),
            is_regression=False,
            objective=objective,
            save_best=lambda _: None,
            checkpoints=None,
            observer=observer,
            device=device,
            group=group,
        )
    )


def make_objective(
    folder: Path, size: Size, num_layers: int, table: TokenTable, device: torch.device
) -> Objective:
    """Extract a random teacher's states into a folder, and return the PKD objective that reads them."""
    extract(make_model(size, size.num_layers), table, folder, "float16", Stopwatch(), device=device)
    return Objective(
        alpha=0.5,
        temperature=10.0,
        beta=100.0,
        normalize=True,
        distillation_reduction="element_mean",
        patience_reduction="element_mean",
        layer_map=skip_layers(num_layers, size.num_layers),
        teacher_states=TeacherStates.open(folder),
    )
