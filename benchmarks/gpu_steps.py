"""Training steps on a GPU: pkd's own, and those of transformers as most people write them."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from benchmarks.pkd_training import Stopwatch, train_observed
from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.method.losses import combine, cross_entropy_loss, distillation_loss, patience_loss
from pkd_core.model.padding import pad_examples
from pkd_core.runtime.precision import Precision
from pkd_core.training.objective import Objective

_LENGTH_MULTIPLE = 8
_NUM_TIMED_EPOCHS = 2
_NUM_WARMUP_STEPS = 15


def step_seconds(
    model: BertForSequenceClassification,
    table: TokenTable,
    objective: Objective | None,
    device: torch.device,
    *,
    precision: Precision = "bfloat16",
    batch_size: int = 32,
) -> float:
    """Train for three epochs, and return the mean seconds of a step of the last two.

    A step returns before the GPU has computed it, so single steps cannot be timed. In the first epoch most shapes of a
    batch are seen for the first time.
    """
    stopwatch = Stopwatch()
    settings = TrainingConfig(
        learning_rate=1e-5, num_epochs=1 + _NUM_TIMED_EPOCHS, precision=precision, batch_size=batch_size
    )
    train_observed(model, table, settings, stopwatch, device, objective)
    num_steps = len(range(0, len(table), batch_size))
    # Scoring dev reports progress too, but after the last step of an epoch.
    timed = stopwatch.ends[-1] - stopwatch.ends[num_steps]
    return timed / (_NUM_TIMED_EPOCHS * num_steps)


def transformers_seconds(
    model: BertForSequenceClassification,
    table: TokenTable,
    device: torch.device,
    *,
    teacher: BertForSequenceClassification | None = None,
    objective: Objective | None = None,
    is_compiled: bool = False,
    num_steps: int = 60,
) -> float:
    """Return the mean seconds of a step with transformers' own forward pass, under autocast to bfloat16.

    Batches are padded to their longest example; the optimizer is torch's fused AdamW. With a teacher it runs in every
    step, as in textbrewer, and the losses are those of patient distillation.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    run: Callable[..., Any] = torch.compile(model, dynamic=True) if is_compiled else model
    model.train()
    inputs = _batches(table, device)

    def step() -> None:
        batch, labels = next(inputs)
        with torch.autocast("cuda", torch.bfloat16):
            output = run(**batch, output_hidden_states=teacher is not None)
            loss = cross_entropy_loss(output.logits, labels)
            if teacher is not None and objective is not None:
                with torch.no_grad():
                    target = teacher(**batch, output_hidden_states=True)
                loss = _patient_loss(output, target, loss, objective)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(_NUM_WARMUP_STEPS):
        step()
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    for _ in range(num_steps):
        step()
    torch.cuda.synchronize(device)
    return (time.perf_counter() - begin) / num_steps


def _patient_loss(output: Any, target: Any, hard_loss: Tensor, objective: Objective) -> Tensor:
    students, teachers = zip(*objective.matched_layers, strict=True)
    states = [
        torch.stack([each.hidden_states[layer][:, 0] for layer in layers], dim=1)
        for each, layers in ((output, students), (target, teachers))
    ]
    return combine(
        hard_loss,
        distillation_loss(output.logits, target.logits, objective.temperature, "element_mean"),
        patience_loss(states[0], states[1], True, "element_mean"),
        alpha=objective.alpha,
        beta=objective.beta,
    ).total


def _batches(table: TokenTable, device: torch.device) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Yield batches of 32 for ever; each is padded and sent before the first step, so that only steps are timed."""
    order, prepared = np.random.default_rng(0).permutation(len(table)), []
    assert table.labels_R is not None, "make_table adds labels"
    for start in range(0, len(table) - 31, 32):
        rows = order[start : start + 32]
        longest = -(-int(table.lengths[rows].max()) // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE
        batch = {
            name: value.to(device) for name, value in pad_examples(table, rows.tolist(), longest).items()
        }
        prepared.append((batch, torch.from_numpy(table.labels_R[rows]).to(device)))
    return itertools.cycle(prepared)
