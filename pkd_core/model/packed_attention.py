"""Attention over packed rows, without padding: torch's flash attention, which exists for GPUs alone.

torch has it under a private name; its public functions for examples of different lengths have no dropout.

Shapes: T packed rows, Q query rows (T, or B where only [CLS] queries), D hidden size, H heads, S starts.
"""

import torch
from torch import Tensor
from torch.nn import functional

from pkd_core.model.packing import PaddingLayout

_LEAST_CAPABILITY = (8, 0)
_HEAD_SIZE_MULTIPLE = 8
_GREATEST_HEAD_SIZE = 256


def needs_padding(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Return whether attention in this dtype on this device computes padded groups, because it has no packed kernel."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return True
    fits = head_size % _HEAD_SIZE_MULTIPLE == 0 and head_size <= _GREATEST_HEAD_SIZE
    return not fits or torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY


def attend_packed(
    queries_QD: Tensor,
    keys_TD: Tensor,
    values_TD: Tensor,
    layout: PaddingLayout,
    num_heads: int,
    rate: float,
) -> Tensor:
    """Compute multi-head attention of each query over all tokens of its own example.

    The filler is one more example, so that no row of the result, or of a gradient, is left unwritten.

    Args:
        queries_QD: One query per packed row (Q = T), or one per example (Q = B).
        keys_TD: Keys of all packed rows.
        values_TD: Values of all packed rows.
        layout: Where each example starts.
        num_heads: H; each head has D / H dimensions.
        rate: Dropout probability of the attention weights, drawn by the device's own generator; 0 for no dropout.

    Returns:
        Shape (Q, D), of the queries' dtype.
    """
    query_starts_S, longest_query = layout.starts_S, layout.longest
    num_queries, num_rows = len(queries_QD), len(keys_TD)
    if num_queries < num_rows:
        queries_QD = functional.pad(queries_QD, (0, 0, 0, 1))  # the filler's query
        query_starts_S = torch.arange(len(layout.starts_S), dtype=torch.int32, device=queries_QD.device)
        longest_query = 1
    output_QHd: Tensor = torch.ops.aten._flash_attention_forward(
        *(rows.view(len(rows), num_heads, -1) for rows in (queries_QD, keys_TD, values_TD)),
        query_starts_S,
        layout.starts_S,
        longest_query,
        layout.longest,
        rate,
        False,  # not causal
        False,  # no mask to return
    )[0]
    return output_QHd.reshape(len(queries_QD), -1)[:num_queries]
