"""What a user would run instead: the authors' recipe, and a library of today with its teacher in the loop."""

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
_WARM_STEPS = 2


def authors_seconds(
    model: BertForSequenceClassification, table: TokenTable, objective: Objective, num_steps: int
) -> float:
    """Return the median seconds of a step as the authors' code makes it.

    Padded to 128, float32, transformers' own forward with all layers' states, and the teacher's from memory; with
    AdamW as torch runs it unasked.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    layers = [teacher for _, teacher in objective.matched_layers]
    students = [student for student, _ in objective.matched_layers]
    states = objective.teacher_states.gather(torch.from_numpy(table.example_ids_R), layers)

    def step(rows: np.ndarray[Any, Any]) -> None:
        inputs = pad_examples(table, rows.tolist(), 128)
        output = model(**inputs, output_hidden_states=True)
        states_BND = torch.stack([hidden[:, 0] for hidden in output.hidden_states], dim=1)
        assert table.labels_R is not None, "made with labels"
        parts = combine(
            cross_entropy_loss(output.logits, torch.from_numpy(table.labels_R[rows])),
            distillation_loss(output.logits, states.logits_BC[rows], objective.temperature, "element_mean"),
            patience_loss(states_BND[:, students], states.cls_states_BMD[rows], True, "element_mean"),
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

    Its own matching of hidden states at the same layers, the teacher computed in every step, padding to the longest of
    the batch, float32 as it comes.
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
        assert table.labels_R is not None, "made with labels"
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
    for number in range(num_steps + _WARM_STEPS):
        rows = order[number * _BATCH_SIZE : (number + 1) * _BATCH_SIZE]
        begin = time.perf_counter()
        step(rows)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[_WARM_STEPS:])
