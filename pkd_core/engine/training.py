"""The one training loop, for teacher and student alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.config import TrainingConfig
from pkd_core.data.batches import TokenTable
from pkd_core.engine.evaluation import predict
from pkd_core.engine.feed import Feed, MicroBatch
from pkd_core.engine.forward import forward
from pkd_core.engine.loss_buffer import LossBuffer, StepLosses
from pkd_core.engine.memory import keep_freed_memory
from pkd_core.engine.metrics import compute_metrics
from pkd_core.engine.objective import Objective, batch_losses
from pkd_core.engine.optimizer import clipped_step, learning_rate_at, make_optimizer, set_learning_rate
from pkd_core.engine.precision import DTYPES, Precision, resolve_precision
from pkd_core.engine.vocabulary import UsedVocabulary
from pkd_core.observer import Observer

__all__ = ["Objective", "Training", "TrainingResult", "train"]


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
class Training:
    """What is to be trained, and how.

    Attributes:
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
    observer: Observer
    device: torch.device

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.settings.num_epochs * math.ceil(len(self.train_table) / self.settings.batch_size)


@dataclass(frozen=True)
class _Run:
    """A training under way; its tables hold the small vocabulary's ids."""

    training: Training
    vocabulary: UsedVocabulary
    feed: Feed
    dev_table: TokenTable
    optimizer: torch.optim.AdamW
    precision: Precision


def train(training: Training) -> TrainingResult:
    """Train a model, and hand it to `save_best` after each epoch that scores better on dev than all before.

    The same training gives the same weights bit for bit on one CPU with one number of threads. The observer is told
    each step's "train/total", its parts and "train/learning_rate", and each epoch's "dev/<metric>" and "score".

    Raises:
        TrainingError: If a loss or a gradient is not finite.
        ModelError: If model and teacher states do not fit together.
        StoreError: If the teacher states lack an example.
    """
    model, device = training.model, training.device
    if training.objective is not None:
        training.objective.check(model)
    keep_freed_memory()
    torch.manual_seed(training.seed)
    torch.nn.Module.to(model, device)
    vocabulary = UsedVocabulary(model, [training.train_table, training.dev_table])
    table = vocabulary.translate(training.train_table)
    run = _Run(
        training,
        vocabulary,
        Feed(table, training.settings, training.objective, training.seed, device),
        vocabulary.translate(training.dev_table),
        make_optimizer(model, training.settings, device),
        resolve_precision(training.settings.precision, device),
    )
    state = _State()
    for epoch in range(1, training.settings.num_epochs + 1):
        _end_epoch(run, state, epoch, _train_epoch(run, state, epoch))
    vocabulary.release()
    return TrainingResult(state.best_epoch, state.best_score, state.history, state.step, run.precision)


def _train_epoch(run: _Run, state: _State, epoch: int) -> float:
    """Make an optimizer step for each batch of an epoch; return the mean loss."""
    training, settings = run.training, run.training.settings
    losses = LossBuffer(training.observer)
    for feed in run.feed.epoch(epoch, state.step + 1):
        state.step += 1
        learning_rate = learning_rate_at(state.step, training.num_steps, settings)
        set_learning_rate(run.optimizer, learning_rate)
        values = _backward(run, feed.parts)
        gradient_norm = clipped_step(run.optimizer, settings.max_grad_norm)
        run.vocabulary.decay(1.0 - learning_rate * settings.weight_decay)
        example_ids = training.train_table.example_ids_R[feed.rows].tolist()
        losses.add(StepLosses(state.step, learning_rate, example_ids, values, gradient_norm))
        training.observer.progress(state.step, training.num_steps, "steps")
    return losses.end_epoch()


def _backward(run: _Run, parts: Sequence[MicroBatch]) -> dict[str, Tensor]:
    """Add up the gradients of a batch's parts; return the whole batch's losses by metric name."""
    training = run.training
    values: dict[str, Tensor] = {}
    for part in parts:
        outputs = forward(training.model, part.batch, DTYPES[run.precision], part.masks)
        assert part.batch.labels_B is not None, "training needs labels"
        losses = batch_losses(
            outputs, part.batch.labels_B, part.teacher, training.objective, training.is_regression
        )
        torch.autograd.backward(losses.total * part.share)
        for name, value in losses.named().items():
            metric = f"train/{name}"
            values[metric] = values.get(metric, 0.0) + value.detach() * part.share
    return values


def _end_epoch(run: _Run, state: _State, epoch: int, mean_loss: float) -> None:
    """Score the model on dev, tell how it does, and save it if no epoch before did better."""
    training = run.training
    scores = _dev_scores(run)
    score = scores[training.metrics[0]]
    told = {"score": score} | {f"dev/{name}": value for name, value in scores.items()}
    training.observer.metrics(state.step, told)
    state.history.append({"epoch": epoch, "step": state.step, "train/total": mean_loss} | told)
    if score > state.best_score:
        state.best_epoch, state.best_score = epoch, score
        with run.vocabulary.whole():
            training.save_best(training.model)


def _dev_scores(run: _Run) -> dict[str, float]:
    training, labels_R = run.training, run.dev_table.labels_R
    assert labels_R is not None, "the dev split has labels"
    _, logits = predict(training.model, run.dev_table, training.device)
    return compute_metrics(training.metrics, labels_R, logits, training.is_regression)
