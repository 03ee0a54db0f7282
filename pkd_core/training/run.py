"""A training and its state while it runs: set up, saved to a checkpoint, resumed from one."""

import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import TrainingError, listed
from pkd_core.model.embedding_subset import EmbeddingSubset
from pkd_core.model.packed_attention import needs_padding
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.runtime.observer import Observer
from pkd_core.runtime.precision import Precision, dtype_of, resolve_precision
from pkd_core.training.batches import BatchLoader
from pkd_core.training.checkpoints import Checkpoint, Checkpoints, pack_tensors, unpack_tensors
from pkd_core.training.graphed_steps import GraphedSteps
from pkd_core.training.metric_buffer import MetricBuffer
from pkd_core.training.metric_history import MetricHistory
from pkd_core.training.objective import Objective
from pkd_core.training.optimizer import make_optimizer
from pkd_core.training.steps import EagerSteps, Learner, Steps
from pkd_core.training.update_rules import update_rule

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """A model, its data, and how to train it.

    Attributes:
        model: Changed in place; ends with the last epoch's weights, which may not be the best.
        train_table: Labelled examples to learn from.
        dev_table: Labelled examples to score on.
        settings: Learning rate, epochs, batch size, order and so on.
        seed: Seeds the shuffling and the dropout.
        metrics: Names of the dev scores, such as "accuracy". The first selects the best epoch; a tie keeps the earlier.
        is_regression: Whether labels are scores, trained with squared error.
        objective: How to learn from a teacher; None for plain fine-tuning.
        save_best: Saves the weights of a new best epoch; the next step changes them.
        checkpoints: Where to resume from and to save to; None to do neither.
        observer: Receives metrics, and progress in steps.
        device: Where to compute.
        group: The processes that train together: each calls `train` alike, and only rank 0 saves and observes.
    """

    model: BertForSequenceClassification
    train_table: TokenTable
    dev_table: TokenTable
    settings: TrainingConfig
    seed: int
    metrics: Sequence[str]
    is_regression: bool
    objective: Objective | None
    save_best: Callable[[BertForSequenceClassification], None]
    checkpoints: Checkpoints | None
    observer: Observer
    device: torch.device
    group: Group = ONE_PROCESS

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the complete training."""
        return self.settings.num_epochs * math.ceil(len(self.train_table) / self.settings.batch_size)

    @property
    def trained(self) -> nn.Module:
        """All that the optimizer updates: the model, and what learns beside it."""
        beside = {} if self.objective is None else self.objective.modules
        return nn.ModuleDict({"model": self.model} | beside) if beside else self.model


@dataclass
class TrainingState:
    """Progress of a training; its fields are keys of the checkpoint's JSON.

    It holds no random state: order and dropout are seeded for each epoch and step.
    """

    epoch: int = 1
    step: int = 0
    num_done: int = 0  # steps of this epoch
    checkpoint_step: int = 0
    best_epoch: int = 0
    best_score: float = -sys.float_info.max
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class TrainingRun:
    """A training in progress; its tables hold ids of the embedding subset."""

    training: Training
    vocabulary: EmbeddingSubset
    loader: BatchLoader
    dev_table: TokenTable
    optimizer: torch.optim.AdamW
    history: MetricHistory
    metric_buffer: MetricBuffer
    precision: Precision
    state: TrainingState


def start_run(training: Training) -> TrainingRun:
    """Prepare model, data and optimizer, and resume from the newest checkpoint if there is one."""
    model, settings, device = training.model, training.settings, training.device
    if training.objective is not None:
        training.objective.check(model, training.train_table.num_choices)
    torch.nn.Module.to(training.trained, device)  # transformers' own `to` has no types
    vocabulary = EmbeddingSubset(model, [training.train_table, training.dev_table])
    # After the model, since the states may be kept in the GPU memory that is left.
    teacher = None if training.objective is None else training.objective.teacher_source(device)
    precision = resolve_precision(settings.precision, device)
    head_size = model.config.hidden_size // model.config.num_attention_heads
    with_padding = needs_padding(device, dtype_of(precision), head_size)
    history = MetricHistory(training.observer)
    run = TrainingRun(
        training,
        vocabulary,
        BatchLoader(
            vocabulary.translate(training.train_table),
            settings,
            teacher,
            training.seed,
            device,
            with_padding,
            training.group,
        ),
        vocabulary.translate(training.dev_table),
        make_optimizer(training.trained, settings, update_rule(settings), device),
        history,
        MetricBuffer(history),
        precision,
        TrainingState(),
    )
    _resume(run)
    _check_same_step(run)
    return run


def make_steps(run: TrainingRun) -> Steps:
    """Return what computes a run's steps, in graphs where its device has them and its batches have few shapes."""
    training = run.training
    learner = Learner(
        training.model,
        training.objective,
        training.is_regression,
        run.optimizer,
        update_rule(training.settings),
        training.settings.max_grad_norm,
        dtype_of(run.precision),
        training.device,
        training.group,
    )
    return EagerSteps(learner) if run.loader.with_padding else GraphedSteps(learner)


def save_checkpoint(run: TrainingRun) -> None:
    """Save a checkpoint, if the training has any, and first the metrics of the steps before it.

    Raises:
        TrainingError: If a loss or gradient of a recent step is not finite.
        StoreError: If the checkpoint cannot be written.
    """
    checkpoints = run.training.checkpoints
    if checkpoints is None:
        return
    # A resumed training does not record earlier steps again.
    run.metric_buffer.send()
    run.training.observer.flush()
    run.state.checkpoint_step = run.state.step
    state = asdict(run.state) | {
        "loss_total": run.metric_buffer.total,
        "loss_count": run.metric_buffer.count,
        "total_decay": run.vocabulary.total_decay,
        "metrics": run.history.points,
    }
    checkpoints.save(Checkpoint(pack_tensors(run.training.trained, run.optimizer), state))


def _resume(run: TrainingRun) -> None:
    checkpoint = run.training.checkpoints.load() if run.training.checkpoints else None
    if checkpoint is None:
        return
    unpack_tensors(checkpoint.tensors, run.training.trained, run.optimizer)
    # A checkpoint of BertAdam from before it counted from there would continue with bias correction.
    first_step = update_rule(run.training.settings).first_step
    for values in run.optimizer.state.values():
        values["step"].clamp_(min=first_step)
    state = dict(checkpoint.state)
    run.metric_buffer.total, run.metric_buffer.count = state.pop("loss_total"), state.pop("loss_count")
    run.vocabulary.total_decay = state.pop("total_decay")
    run.history.points = [(step, values) for step, values in state.pop("metrics")]
    run.state = TrainingState(**state)
    logger.info("resuming from step %d of %d", run.state.step, run.training.num_steps)


def _check_same_step(run: TrainingRun) -> None:
    """Check that all processes resume from the same checkpoint.

    Raises:
        TrainingError: One could not read what another could.
    """
    group, step = run.training.group, run.state.step
    steps = np.zeros(group.size)
    steps[group.rank] = step
    group.add_up_array(steps)
    if (steps != step).any():
        raise TrainingError(
            "all processes need to resume from one checkpoint, and they resume from the steps "
            f"{listed(steps.astype(int))}; run again"
        )


def describe_last_checkpoint(run: TrainingRun) -> str:
    """Return the part of an error message that names the last checkpoint."""
    checkpoints, step = run.training.checkpoints, run.state.checkpoint_step
    if checkpoints is None or not step:
        return "there is no checkpoint yet"
    return f"the last good checkpoint, of step {step}, is {checkpoints.folder}"
