"""What a model predicts, and how large it is."""

from typing import Any

import numpy as np
import torch
from transformers import BertForSequenceClassification

from pkd_core.data.batches import TokenTable, length_sorted_batches, make_batch
from pkd_core.engine.models import forward

Array = np.ndarray[Any, Any]


@torch.inference_mode()
def predict(
    model: BertForSequenceClassification, table: TokenTable, device: torch.device, max_tokens: int = 8192
) -> tuple[Array, Array]:
    """Run a model over a whole split in float32, without dropout.

    Args:
        model: On the device; its training mode is as before afterwards.
        table: The split, R rows.
        device: Where to compute.
        max_tokens: Most tokens of a batch, padding included.

    Returns:
        Example ids (R,) and logits (R, C), float32, in the table's order.
    """
    was_training = model.training
    model.train(False)
    rows, logits = [], []
    for rows_B in length_sorted_batches(table, max_tokens):
        rows.append(rows_B)
        logits.append(forward(model, make_batch(table, rows_B).to(device)).logits_BC)
    model.train(was_training)
    logits_RC = torch.cat(logits).float().cpu().numpy()
    return table.example_ids_R, logits_RC[np.argsort(np.concatenate(rows))]


def count_parameters(model: torch.nn.Module) -> int:
    """Return how many weights a model has."""
    return sum(weight.numel() for weight in model.parameters())


def size_bytes(model: torch.nn.Module) -> int:
    """Return how much memory a model's weights take."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())
