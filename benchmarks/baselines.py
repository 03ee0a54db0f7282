"""Alternatives to pkd: the authors' recipe, and a current library with its teacher in the loop."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.method.losses import combine, cross_entropy_loss, distillation_loss, patience_loss
from pkd_core.model.padding import pad_examples
from pkd_core.training.objective import Objective

_BATCH_SIZE = 32
_WARMUP_STEPS = 2


def authors_seconds(
    model: BertForSequenceClassification, table: TokenTable, objective: Objective, num_steps: int
) -> float:
    """Return the median seconds of a step as in the authors' code.

    Padded to 128, float32, transformers' own forward pass with the states of all layers, teacher states in memory, and
    torch's default AdamW.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    student_layers, teacher_layers = (list(layers) for layers in zip(*objective.matched_layers, strict=True))
    states = objective.teacher_states.gather(torch.from_numpy(table.example_ids_R), teacher_layers)

    def step(rows: np.ndarray[Any, Any]) -> None:
        inputs = pad_examples(table, rows.tolist(), 128)
        output = model(**inputs, output_hidden_states=True)
        states_BND = torch.stack([hidden[:, 0] for hidden in output.hidden_states], dim=1)
        assert table.labels_R is not None, "make_table adds labels"
        parts = combine(
            cross_entropy_loss(output.logits, torch.from_numpy(table.labels_R[rows])),
            distillation_loss(output.logits, states.logits_BC[rows], objective.temperature, "element_mean"),
            patience_loss(states_BND[:, student_layers], states.cls_states_BMD[rows], True, "element_mean"),
            alpha=objective.alpha,
            beta=objective.beta,
        )
        torch.autograd.backward(parts.total)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    model.train()
    return _median_step(step, table, num_steps)


def textbrewer_seconds(
    student: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    table: TokenTable,
    objective: Objective,
    num_steps: int,
    folder: Path,
) -> float:
    """Return the median seconds of a step of textbrewer's GeneralDistiller.

    It matches hidden states of the same layers, runs the teacher in every step, pads to the longest example of the
    batch, and computes in float32, its default.
    """
    from textbrewer import DistillationConfig, GeneralDistiller
    from textbrewer import TrainingConfig as TextbrewerTraining

    def adapt(batch: dict[str, Tensor], output: Any) -> dict[str, Any]:
        return {
            "logits": output.logits,
            "hidden": output.hidden_states,
            "inputs_mask": batch["attention_mask"],
            "losses": output.loss,
        }

    matches = [
        {"layer_T": teacher, "layer_S": student, "feature": "hidden", "loss": "hidden_mse", "weight": 1}
        for student, teacher in objective.matched_layers
    ]
    distiller = GeneralDistiller(
        TextbrewerTraining(device="cpu", output_dir=str(folder)),
        DistillationConfig(temperature=10, hard_label_weight=1, intermediate_matches=matches),
        teacher,
        student,
        adapt,
        adapt,
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5)

    def step(rows: np.ndarray[Any, Any]) -> None:
        assert table.labels_R is not None, "make_table adds labels"
        batch = pad_examples(table, rows.tolist())
        batch["labels"] = torch.from_numpy(table.labels_R[rows])
        loss, _ = distiller.train_on_batch(batch, {"output_hidden_states": True})
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    with distiller:
        return _median_step(step, table, num_steps)


def _median_step(step: Callable[[np.ndarray[Any, Any]], None], table: TokenTable, num_steps: int) -> float:
    order = np.random.default_rng(0).permutation(len(table))
    seconds = []
    for number in range(num_steps + _WARMUP_STEPS):
        rows = order[number * _BATCH_SIZE : (number + 1) * _BATCH_SIZE]
        begin = time.perf_counter()
        step(rows)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[_WARMUP_STEPS:])
