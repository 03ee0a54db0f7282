"""Attention over packed rows, example by example: what a GPU's kernel computes, for any device, without dropout."""

import itertools

import torch
from torch import Tensor

from pkd_core.model.packing import PaddingLayout


def attend_packed_reference(
    queries_QD: Tensor, keys_TD: Tensor, values_TD: Tensor, layout: PaddingLayout, num_heads: int, rate: float
) -> Tensor:
    """Return what `attend_packed` returns at a rate of 0."""
    assert rate == 0.0
    starts = layout.starts_S.tolist()
    one_query = len(queries_QD) < len(keys_TD)
    outputs = []
    for number, (start, end) in enumerate(itertools.pairwise(starts)):
        if one_query and number == len(queries_QD):
            break  # the filler has no query
        rows = slice(number, number + 1) if one_query else slice(start, end)
        queries_HKd, keys_HLd, values_HLd = (
            part.view(len(part), num_heads, -1).transpose(0, 1)
            for part in (queries_QD[rows], keys_TD[start:end], values_TD[start:end])
        )
        scores = queries_HKd @ keys_HLd.transpose(1, 2) * queries_HKd.shape[-1] ** -0.5
        output_HKd = scores.softmax(-1) @ values_HLd
        outputs.append(output_HKd.transpose(0, 1).reshape(-1, queries_QD.shape[-1]))
    return torch.cat(outputs)
