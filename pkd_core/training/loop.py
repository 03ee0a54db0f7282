"""The one training loop, for teacher and student alike."""

import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import TrainingError
from pkd_core.evaluation.metrics import compute_metrics
from pkd_core.evaluation.predict import predict
from pkd_core.model.embedding_subset import EmbeddingSubset
from pkd_core.model.forward import forward
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.runtime.observer import Observer
from pkd_core.runtime.precision import DTYPES, Precision, resolve_precision
from pkd_core.training.batches import BatchLoader, MicroBatch
from pkd_core.training.checkpoints import Checkpoint, Checkpoints
from pkd_core.training.metric_buffer import MetricBuffer, StepMetrics
from pkd_core.training.objective import Objective, batch_losses
from pkd_core.training.optimizer import (
    clipped_step,
    learning_rate_at,
    make_optimizer,
    pack_tensors,
    set_learning_rate,
    unpack_tensors,
)

logger = logging.getLogger(__name__)

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
    """How far a training is, and what it has found; with the weights and the optimizer's state, all of it.

    No random state is among it: order and dropout are drawn anew for each epoch and step.
    """

    epoch: int = 1
    step: int = 0
    num_done: int = 0
    checkpoint_step: int = 0
    best_epoch: int = 0
    best_score: float = -sys.float_info.max
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
        checkpoints: Where to go on from, and where to leave what to go on from; None for neither.
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
    checkpoints: Checkpoints | None
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
    vocabulary: EmbeddingSubset
    loader: BatchLoader
    dev_table: TokenTable
    optimizer: torch.optim.AdamW
    losses: MetricBuffer
    precision: Precision


def train(training: Training) -> TrainingResult:
    """Train a model, and hand it to `save_best` after each epoch that scores better on dev than all before.

    The same training gives the same weights bit for bit on one CPU with one number of threads, stopped and gone on
    with or not. The observer is told each step's "train/total", its parts and "train/learning_rate", and each epoch's
    "dev/<metric>" and "score".

    Raises:
        TrainingError: If a loss or a gradient is not finite; names the last good checkpoint.
        ModelError: If model and teacher states do not fit together.
        StoreError: If the teacher states lack an example, or checkpoints cannot be written.
        StoppedError: If the observer says so; a checkpoint is made first.
    """
    model, device = training.model, training.device
    if training.objective is not None:
        training.objective.check(model)
    torch.nn.Module.to(model, device)
    vocabulary = EmbeddingSubset(model, [training.train_table, training.dev_table])
    table = vocabulary.translate(training.train_table)
    teacher = None if training.objective is None else training.objective.teacher(device)
    run = _Run(
        training,
        vocabulary,
        BatchLoader(table, training.settings, teacher, training.seed, device),
        vocabulary.translate(training.dev_table),
        make_optimizer(model, training.settings, device),
        MetricBuffer(training.observer),
        resolve_precision(training.settings.precision, device),
    )
    state = _resume(run)
    # Only attention's kernels on a GPU draw from torch's generator; going on must not repeat the first steps' draws.
    torch.manual_seed(training.seed + state.step)
    try:
        while state.epoch <= training.settings.num_epochs:
            _train_epoch(run, state)
            _end_epoch(run, state)
            _save_checkpoint(run, state)
    except StoppedError:
        _save_checkpoint(run, state)
        raise
    except TrainingError as error:
        raise TrainingError(f"{error}; {_name_checkpoint(training.checkpoints, state)}") from error
    vocabulary.restore()
    return TrainingResult(state.best_epoch, state.best_score, state.history, state.step, run.precision)


def _train_epoch(run: _Run, state: _State) -> None:
    """Make an optimizer step for each batch that is left of an epoch."""
    training, settings = run.training, run.training.settings
    for batch in run.loader.epoch(state.epoch, state.num_done):
        state.step += 1
        state.num_done += 1
        learning_rate = learning_rate_at(state.step, training.num_steps, settings)
        set_learning_rate(run.optimizer, learning_rate)
        values = _backward(run, batch.parts)
        gradient_norm = clipped_step(run.optimizer, settings.max_grad_norm)
        run.vocabulary.decay(1.0 - learning_rate * settings.weight_decay)
        example_ids = training.train_table.example_ids_R[batch.rows].tolist()
        run.losses.add(StepMetrics(state.step, learning_rate, example_ids, values, gradient_norm))
        training.observer.progress(state.step, training.num_steps, "steps")
        if training.checkpoints is not None and training.checkpoints.is_due:
            _save_checkpoint(run, state)


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


def _end_epoch(run: _Run, state: _State) -> None:
    """Score the model on dev, tell how it does, and save it if no epoch before did better."""
    training = run.training
    run.losses.send()
    # Scoring may be stopped, and is then done again: the epoch must not have ended before.
    scores = _dev_scores(run, state)
    mean_loss = run.losses.end_epoch()
    score = scores[training.metrics[0]]
    told = {"score": score} | {f"dev/{name}": value for name, value in scores.items()}
    training.observer.metrics(state.step, told)
    state.history.append({"epoch": state.epoch, "step": state.step, "train/total": mean_loss} | told)
    if score > state.best_score:
        state.best_epoch, state.best_score = state.epoch, score
        with run.vocabulary.full_embeddings():
            training.save_best(training.model)
    state.epoch += 1
    state.num_done = 0


def _dev_scores(run: _Run, state: _State) -> dict[str, float]:
    training, labels_R = run.training, run.dev_table.labels_R
    assert labels_R is not None, "the dev split has labels"

    def observe(_: int) -> None:
        training.observer.progress(state.step, training.num_steps, "steps")

    _, logits = predict(training.model, run.dev_table, training.device, observe=observe)
    return compute_metrics(training.metrics, labels_R, logits, training.is_regression)


def _save_checkpoint(run: _Run, state: _State) -> None:
    checkpoints = run.training.checkpoints
    if checkpoints is None:
        return
    # What was told of the steps so far is not told again, so it must be in safe hands before.
    run.losses.send()
    run.training.observer.flush()
    state.checkpoint_step = state.step
    told = asdict(state) | {
        "loss_total": run.losses.total,
        "loss_count": run.losses.count,
        "total_decay": run.vocabulary.total_decay,
    }
    checkpoints.save(Checkpoint(pack_tensors(run.training.model, run.optimizer), told))


def _name_checkpoint(checkpoints: Checkpoints | None, state: _State) -> str:
    if checkpoints is None or not state.checkpoint_step:
        return "there is no checkpoint yet"
    return f"the last good checkpoint, of step {state.checkpoint_step}, is {checkpoints.folder}"


def _resume(run: _Run) -> _State:
    """Put model and optimizer where the newest checkpoint has them; return the state, a new one if there is none."""
    checkpoint = run.training.checkpoints.load() if run.training.checkpoints else None
    if checkpoint is None:
        return _State()
    told = dict(checkpoint.state)
    unpack_tensors(checkpoint.tensors, run.training.model, run.optimizer)
    run.losses.total, run.losses.count = told.pop("loss_total"), told.pop("loss_count")
    run.vocabulary.total_decay = told.pop("total_decay")
    state = _State(**told)
    logger.info("going on from step %d of %d", state.step, run.training.num_steps)
    return state
