"""Distances between the [CLS] states of a student and its teacher.

Shape suffixes: R sampled rows, N student layers, M compared pairs of layers, D size of a row's state, W hidden size.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import Rows, TokenTable, length_sorted_batches
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack
from pkd_core.runtime.prefetch import prefetch

_MAX_ROWS = 1000
_MAX_TOKENS = 8192
_SEED = 0


def sample_rows(num_rows: int) -> Rows:
    """Return at most 1,000 different rows of so many, in rising order; always the same ones."""
    generator = np.random.default_rng(_SEED)
    return np.sort(generator.choice(num_rows, min(num_rows, _MAX_ROWS), replace=False))


@torch.inference_mode()
def cls_states(
    model: BertForSequenceClassification, table: TokenTable, rows: Rows, device: torch.device
) -> Tensor:
    """Return the [CLS] states of every layer in float32, without dropout.

    Args:
        model: Is moved to the device.
        table: The examples.
        rows: Rows of the table, in rising order.
        device: Where to compute.

    Returns:
        Shape (R, N, D) on the CPU, in the rows' order; [:, k - 1] is the output of layer k.
    """
    torch.nn.Module.to(model, device)  # transformers' own `to` carries no types
    order = list(length_sorted_batches(table, _MAX_TOKENS, rows))
    batches = prefetch(pack(table, batch, device) for batch in order)
    states_RND = torch.cat([forward(model, batch).cls_states_BND.cpu() for batch in batches])
    return states_RND[torch.from_numpy(np.argsort(np.concatenate(order)))]


def mean_distances(student_RMD: Tensor, teacher_RMD: Tensor, hidden_size: int) -> list[float]:
    """Return the mean squared distance of unit-length states for each pair of layers.

    >>> student_RMD = torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]])
    >>> teacher_RMD = torch.tensor([[[0.0, 1.0]], [[0.0, 5.0]]])
    >>> mean_distances(student_RMD, teacher_RMD, hidden_size=2)
    [1.0]

    Args:
        student_RMD: The student's states.
        teacher_RMD: The teacher's, of any type.
        hidden_size: W; where D is more, a row has several states one after the other, and each counts.
    """
    student, teacher = (
        functional.normalize(states.float().reshape(*states.shape[:2], -1, hidden_size), dim=-1)
        for states in (student_RMD, teacher_RMD)
    )
    distances: list[float] = (student - teacher).square().sum(-1).mean((0, 2)).tolist()
    return distances
