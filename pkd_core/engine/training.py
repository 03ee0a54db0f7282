"""The one training loop, for teacher and student alike."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from transformers import BertForSequenceClassification

from pkd_core.config import TrainingConfig
from pkd_core.data.batches import Batch, TokenTable, make_batch, shuffled_batches
from pkd_core.engine.evaluation import predict
from pkd_core.engine.loss_buffer import LossBuffer, StepLosses
from pkd_core.engine.metrics import compute_metrics
from pkd_core.engine.objective import Objective, batch_losses
from pkd_core.engine.optimizer import learning_rate_at, make_optimizer, set_learning_rate
from pkd_core.engine.precision import Precision, resolve_precision
from pkd_core.method.losses import LossParts
from pkd_core.observer import Observer

__all__ = ["Objective", "TrainingResult", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    Attributes:
        best_epoch: The epoch that `save_best` was last called at, from 1.
        best_score: Its dev score.
        history: A dictionary an epoch: "epoch", "step", "score", "dev/<metric>", and its mean "train/total".
        num_steps: Optimizer steps made.
        precision: What the forward computed in.
    """

    best_epoch: int
    best_score: float
    history: list[dict[str, Any]]
    num_steps: int
    precision: Precision


@dataclass
class _State:
    """How far a training is, and what it has found; with the weights' and the generators' states, all of it."""

    step: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """What every epoch of a training uses."""

    model: BertForSequenceClassification
    table: TokenTable
    settings: TrainingConfig
    seed: int
    num_steps: int
    optimizer: torch.optim.Optimizer
    losses_of: Callable[[Batch], LossParts]
    observer: Observer


def train(
    model: BertForSequenceClassification,
    train_table: TokenTable,
    dev_table: TokenTable,
    settings: TrainingConfig,
    *,
    seed: int,
    metrics: Sequence[str],
    is_regression: bool,
    objective: Objective | None,
    save_best: Callable[[BertForSequenceClassification], None],
    observer: Observer,
    device: torch.device,
) -> TrainingResult:
    """Train a model, and hand it to `save_best` after each epoch that scores better on dev than all before.

    The same arguments give the same weights bit for bit on one CPU with one number of threads. The observer is told
    each step's "train/total", its parts and "train/learning_rate", and each epoch's "dev/<metric>" and "score".

    Args:
        model: Changed in place; at the end it holds the last epoch's weights, which may not be the best.
        train_table: Labelled examples to learn from, reshuffled every epoch.
        dev_table: Labelled examples to score on.
        settings: Learning rate, epochs, batch size and the like.
        seed: Of the shuffling and the dropout.
        metrics: Names of the dev scores, such as "accuracy". The first selects; of equal epochs the first is best.
        is_regression: Whether labels are scores, trained by squared error.
        objective: What a teacher has to say; None for plain fine-tuning.
        save_best: Keeps the weights, which the next epoch changes.
        observer: Is told metrics, and the progress in steps.
        device: Where to compute.

    Raises:
        TrainingError: If a loss or a gradient is not finite.
        ModelError: If model and teacher states do not fit together.
        StoreError: If the teacher states lack an example.
    """
    precision = resolve_precision(settings.precision, device)
    if objective is not None:
        objective.check(model)
    torch.manual_seed(seed)
    torch.nn.Module.to(model, device)
    optimizer = make_optimizer(model, settings, device)
    num_steps = settings.num_epochs * math.ceil(len(train_table) / settings.batch_size)
    losses_of = partial(
        batch_losses, model, objective=objective, is_regression=is_regression, precision=precision
    )
    run = _Run(model, train_table, settings, seed, num_steps, optimizer, losses_of, observer)
    state = _State()
    for epoch in range(1, settings.num_epochs + 1):
        mean_loss = _train_epoch(run, state, epoch)
        scores = _scores(model, dev_table, metrics, is_regression, device)
        score = scores[metrics[0]]
        told = {"score": score} | {f"dev/{name}": value for name, value in scores.items()}
        observer.metrics(state.step, told)
        state.history.append({"epoch": epoch, "step": state.step, "train/total": mean_loss} | told)
        if score > state.best_score:
            state.best_epoch, state.best_score = epoch, score
            save_best(model)
    return TrainingResult(state.best_epoch, state.best_score, state.history, state.step, precision)


def _train_epoch(run: _Run, state: _State, epoch: int) -> float:
    """Make an optimizer step for each batch of an epoch; return the mean loss."""
    loss_buffer = LossBuffer(run.observer)
    run.model.train()
    for rows in shuffled_batches(run.table, run.settings.batch_size, _shuffling(run.seed, epoch)):
        state.step += 1
        learning_rate = learning_rate_at(state.step, run.num_steps, run.settings)
        set_learning_rate(run.optimizer, learning_rate)
        values = _backward(run.losses_of, _micro_batches(run.table, rows, run.settings.accumulation_steps))
        gradient_norm = clip_grad_norm_(run.model.parameters(), run.settings.max_grad_norm)
        run.optimizer.step()
        run.optimizer.zero_grad()
        example_ids = run.table.example_ids_R[rows].tolist()
        loss_buffer.add(StepLosses(state.step, learning_rate, example_ids, values, gradient_norm))
        run.observer.progress(state.step, run.num_steps, "steps")
    return loss_buffer.end_epoch()


def _shuffling(seed: int, epoch: int) -> torch.Generator:
    """Return an epoch's own generator, so that its order can be had without the epochs before it."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))


def _micro_batches(
    table: TokenTable, rows: np.ndarray[Any, Any], num_parts: int
) -> Iterator[tuple[Batch, float]]:
    """Yield a batch in parts, each with its share of the examples: unequal parts then weigh as in the whole."""
    for part in np.array_split(rows, num_parts):
        if len(part):
            yield make_batch(table, part), len(part) / len(rows)


def _backward(
    losses_of: Callable[[Batch], LossParts], micro_batches: Iterator[tuple[Batch, float]]
) -> dict[str, torch.Tensor]:
    """Add up the gradients of a batch's parts; return the whole batch's losses by metric name."""
    values: dict[str, torch.Tensor] = {}
    for batch, share in micro_batches:
        parts = losses_of(batch)
        torch.autograd.backward(parts.total * share)
        for name, value in parts.named().items():
            metric = f"train/{name}"
            values[metric] = values.get(metric, 0.0) + value.detach() * share
    return values


def _scores(
    model: BertForSequenceClassification,
    table: TokenTable,
    metrics: Sequence[str],
    is_regression: bool,
    device: torch.device,
) -> dict[str, float]:
    assert table.labels_R is not None, "the dev split has labels"
    _, logits = predict(model, table, device)
    return compute_metrics(metrics, table.labels_R, logits, is_regression)
