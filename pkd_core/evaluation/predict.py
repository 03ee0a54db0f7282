"""Predictions and number of weights of a model. Shape suffixes: R rows of the table, C outputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import Rows, TokenTable, length_sorted_batches
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack
from pkd_core.runtime.group import Group
from pkd_core.runtime.prefetch import prefetch

Array = np.ndarray[Any, Any]


@torch.inference_mode()
def predict(
    model: BertForSequenceClassification,
    table: TokenTable,
    device: torch.device,
    max_tokens: int = 8192,
    observe: Callable[[int], None] = lambda _: None,
) -> tuple[Array, Array]:
    """Run a model over a complete split in float32, without dropout.

    Args:
        model: On the device.
        table: The split, R rows.
        device: Where to compute.
        max_tokens: Maximum tokens of a batch.
        observe: Called after each batch with the number of examples done; an error that it raises ends the call.

    Returns:
        Example ids (R,) and logits (R, C), float32, in the table's order.
    """
    order = list(length_sorted_batches(table, max_tokens))
    logits_RC = _predict(model, table, device, order, observe)
    return table.example_ids_R, logits_RC[np.argsort(np.concatenate(order))]


@torch.inference_mode()
def predict_together(
    model: BertForSequenceClassification,
    table: TokenTable,
    device: torch.device,
    group: Group,
    observe: Callable[[int], None],
    max_tokens: int = 8192,
) -> Array:
    """Run a model over a complete split as `predict` does, in several processes: each computes some of the batches.

    Args:
        model: On the device, the same in every process.
        table: The split, R rows.
        device: Where this process computes.
        group: The processes, all of which call this.
        observe: As of `predict`, for the batches of this process.
        max_tokens: Maximum tokens of a batch.

    Returns:
        Logits (R, C), float32, in the table's order.

    Raises:
        StoppedError: Rank 0 was stopped meanwhile.
    """
    order = list(length_sorted_batches(table, max_tokens))
    num_outputs = model.classifier.out_features * table.num_choices
    logits_RC = np.zeros((len(table), num_outputs), dtype=np.float32)
    if own := order[group.rank :: group.size]:
        logits_RC[np.concatenate(own)] = _predict(model, table, device, own, observe)
    group.begin()
    group.add_up_array(logits_RC)
    return logits_RC


def _predict(
    model: BertForSequenceClassification,
    table: TokenTable,
    device: torch.device,
    order: Sequence[Rows],
    observe: Callable[[int], None],
) -> Array:
    """Return the logits of batches of rows, one after the other."""
    batches = prefetch(pack(table, rows, device) for rows in order)
    logits = []
    num_done = 0
    for rows, batch in zip(order, batches, strict=True):
        logits.append(forward(model, batch).logits_BC)
        num_done += len(rows)
        observe(num_done)
    logits_RC: Array = torch.cat(logits).float().cpu().numpy()
    return logits_RC


def count_parameters(model: torch.nn.Module) -> int:
    """Return a model's number of weights."""
    return sum(weight.numel() for weight in model.parameters())
