"""The training loop, for teacher and student alike. Shape suffix: R rows of a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from pkd_core.errors import TrainingError
from pkd_core.evaluation.metrics import compute_metrics
from pkd_core.evaluation.predict import predict_together
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.runtime.precision import Precision
from pkd_core.training.metric_buffer import StepMetrics
from pkd_core.training.metric_history import Point
from pkd_core.training.objective import Objective
from pkd_core.training.optimizer import learning_rate_at
from pkd_core.training.run import (
    Training,
    TrainingRun,
    describe_last_checkpoint,
    make_steps,
    save_checkpoint,
    start_run,
)
from pkd_core.training.steps import Steps

__all__ = ["Objective", "Training", "TrainingResult", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training.

    Attributes:
        best_epoch: The last epoch that was saved, from 1.
        best_score: Its dev score.
        history: A dictionary per epoch: "epoch", "step", "score", "dev/<metric>", and the mean "train/total".
        points: Every value that the observer received, by step.
        num_steps: Number of optimizer steps.
        precision: Number format of the forward pass.
    """

    best_epoch: int
    best_score: float
    history: list[dict[str, Any]]
    points: list[Point]
    num_steps: int
    precision: Precision


def train(training: Training) -> TrainingResult:
    """Train a model, and pass it to `save_best` after each epoch that scores better on dev than all before.

    On one CPU with a fixed number of threads the weights are reproducible bit for bit, also across interruptions. The
    observer receives "train/total", its parts and "train/learning_rate" of each step, and "dev/<metric>" of each
    epoch.

    Raises:
        TrainingError: If a loss or a gradient is not finite; names the last good checkpoint.
        ModelError: If the teacher states do not fit the model.
        StoreError: If the teacher states lack an example, or a checkpoint cannot be written.
        StoppedError: If the observer raises it; a checkpoint is saved first.
    """
    run = start_run(training)
    state = run.state
    try:
        with _own_generator(training.device):
            steps = make_steps(run)
            while state.epoch <= training.settings.num_epochs:
                _train_epoch(run, steps)
                _end_epoch(run)
                save_checkpoint(run)
    except StoppedError:
        training.group.stop()
        save_checkpoint(run)
        raise
    except TrainingError as error:
        raise TrainingError(f"{error}; {describe_last_checkpoint(run)}") from error
    run.vocabulary.restore()
    return TrainingResult(
        state.best_epoch, state.best_score, state.history, run.history.points, state.step, run.precision
    )


@contextmanager
def _own_generator(device: torch.device) -> Iterator[None]:
    """Restore the state of a GPU's own generator after the body, in which each step seeds it."""
    if device.type != "cuda":
        yield
        return
    with torch.random.fork_rng([device]), torch.cuda.device(device):
        yield


def _train_epoch(run: TrainingRun, steps: Steps) -> None:
    """Run the remaining optimizer steps of an epoch."""
    training, settings, state = run.training, run.training.settings, run.state
    for batch in run.loader.epoch(state.epoch, state.num_done):
        training.group.begin()
        state.step += 1
        state.num_done += 1
        learning_rate = learning_rate_at(state.step, len(training.train_table), settings)
        losses = steps.run(batch, learning_rate)
        run.vocabulary.decay(1.0 - learning_rate * settings.weight_decay)
        example_ids = training.train_table.example_ids_R[batch.rows].tolist()
        means = {f"train/{name}": value for name, value in losses.means.items()}
        run.metric_buffer.add(
            StepMetrics(state.step, learning_rate, example_ids, means, losses.gradient_norm)
        )
        training.observer.progress(state.step, training.num_steps, "steps")
        if training.checkpoints is not None and training.checkpoints.is_due:
            save_checkpoint(run)


def _end_epoch(run: TrainingRun) -> None:
    """Score the model on dev, record the scores, and save the model if it is the best so far."""
    training, state = run.training, run.state
    run.metric_buffer.send()
    # Scoring may be interrupted and is then repeated, so the state must not change before it.
    scores = _dev_scores(run)
    mean_loss = run.metric_buffer.end_epoch()
    score = scores[training.metrics[0]]
    dev_scores = {f"dev/{name}": value for name, value in scores.items()}
    run.history.metrics(state.step, dev_scores)
    epoch = {"epoch": state.epoch, "step": state.step, "train/total": mean_loss, "score": score}
    state.history.append(epoch | dev_scores)
    if score > state.best_score:
        state.best_epoch, state.best_score = state.epoch, score
        with run.vocabulary.full_embeddings():
            training.save_best(training.model)
    state.epoch += 1
    state.num_done = 0


def _dev_scores(run: TrainingRun) -> dict[str, float]:
    training, labels_R = run.training, run.dev_table.labels_R
    assert labels_R is not None, "the dev split has labels"

    def observe(_: int) -> None:
        training.observer.progress(run.state.step, training.num_steps, "steps")

    logits_RC = predict_together(training.model, run.dev_table, training.device, training.group, observe)
    return compute_metrics(training.metrics, labels_R, logits_RC, training.is_regression)
