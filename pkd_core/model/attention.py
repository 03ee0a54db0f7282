"""Attention over padded groups of examples, wherever a device has no kernel for packed rows.

Shapes: T packed rows, P padded rows, Q query rows (P, or B where only [CLS] queries), B examples, D hidden size,
H heads; within a group, E examples of L rows each, and K query rows each (L or 1).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pkd_core.model.dropout import KeepMasks
from pkd_core.model.packing import PaddingLayout


def pad(values_TD: Tensor, layout: PaddingLayout) -> Tensor:
    """Copy packed rows (T, D) to padded rows (P, D); padding gets the last packed row, which is filler.

    >>> from pkd_core.model.packing import Group
    >>> layout = PaddingLayout(  # examples of 3 tokens and 1 token, then one row of filler
    ...     groups=(Group(num_examples=2, length=3),),
    ...     num_tokens=4,
    ...     packed_rows_P=torch.tensor([0, 1, 2, 3, 4, 4]),
    ...     padded_rows_T=torch.tensor([0, 1, 2, 3, 0]),
    ...     attention_bias_P=torch.tensor([0, 0, 0, 0, -torch.inf, -torch.inf]),
    ...     starts_S=torch.tensor([0, 3, 4, 5]),
    ...     longest=128,
    ... )
    >>> pad(torch.tensor([[10], [11], [12], [20], [-1]]), layout).flatten().tolist()
    [10, 11, 12, 20, -1, -1]
    >>> unpad(torch.tensor([[10], [11], [12], [20], [-1], [-1]]), layout).flatten().tolist()
    [10, 11, 12, 20, 0]
    """
    padded_PD: Tensor = _Pad.apply(values_TD, layout)  # type: ignore[no-untyped-call]
    return padded_PD


def unpad(values_PD: Tensor, layout: PaddingLayout) -> Tensor:
    """Copy padded rows (P, D) back to packed rows (T, D), with zeros as filler; see `pad`."""
    packed_TD: Tensor = _Unpad.apply(values_PD, layout)  # type: ignore[no-untyped-call]
    return packed_TD


def attend(
    queries_QD: Tensor,
    keys_PD: Tensor,
    values_PD: Tensor,
    layout: PaddingLayout,
    num_heads: int,
    rate: float,
    masks: KeepMasks | None,
) -> Tensor:
    """Compute multi-head attention of each query over all tokens of its own example.

    Args:
        queries_QD: One query per padded row (Q = P), or one per example (Q = B).
        keys_PD: Keys of all padded rows.
        values_PD: Values of all padded rows.
        layout: Which padded rows belong to which example, and which are padding.
        num_heads: H; each head has D / H dimensions.
        rate: Dropout probability of the attention weights.
        masks: Source of dropout masks; None for no dropout.

    Returns:
        Shape (Q, D), of the queries' dtype.
    """
    if rate == 0.0:
        masks = None
    if masks is not None and queries_QD.device.type == "cpu":
        # On the CPU torch's fused attention has no dropout, and its fallback computes in float32, slowly.
        output_QD: Tensor = _DropoutAttention.apply(  # type: ignore[no-untyped-call]
            queries_QD, keys_PD, values_PD, layout, num_heads, rate, masks
        )
        return output_QD
    outputs = []
    for queries, keys, values, bias in zip(
        _split_heads(queries_QD, layout, num_heads),
        _split_heads(keys_PD, layout, num_heads),
        _split_heads(values_PD, layout, num_heads),
        _split_bias(layout, queries_QD.dtype),
        strict=True,
    ):
        output_EHKd = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=bias, dropout_p=0.0 if masks is None else rate
        )
        outputs.append(output_EHKd.transpose(1, 2).reshape(-1, queries_QD.shape[-1]))
    return torch.cat(outputs)


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_TD: Tensor, layout: PaddingLayout) -> Tensor:
        ctx.layout = layout
        return values_TD.index_select(0, layout.packed_rows_P)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _gather_packed(gradients[0], ctx.layout), None


class _Unpad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_PD: Tensor, layout: PaddingLayout) -> Tensor:
        ctx.layout = layout
        return _gather_packed(values_PD, layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        # Padding gets the gradient of the last packed row, which is zero: no output depends on filler.
        return gradients[0].index_select(0, ctx.layout.packed_rows_P), None


def _gather_packed(values_PD: Tensor, layout: PaddingLayout) -> Tensor:
    packed_TD = values_PD.index_select(0, layout.padded_rows_T)
    packed_TD.narrow(0, layout.num_tokens, len(packed_TD) - layout.num_tokens).zero_()
    return packed_TD


class _DropoutAttention(torch.autograd.Function):
    """Softmax attention with dropout, one group after another, in the dtype of the inputs.

    Products and the softmax accumulate in float32, as torch's kernels do.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries_QD: Tensor,
        keys_PD: Tensor,
        values_PD: Tensor,
        layout: PaddingLayout,
        num_heads: int,
        rate: float,
        masks: KeepMasks,
    ) -> Tensor:
        output_QD = torch.empty_like(queries_QD)
        saved = []
        for queries_EHKd, keys_EHLd, values_EHLd, bias_E11L, output_EHKd in zip(
            _split_heads(queries_QD, layout, num_heads),
            _split_heads(keys_PD, layout, num_heads),
            _split_heads(values_PD, layout, num_heads),
            _split_bias(layout, queries_QD.dtype),
            _split_heads(output_QD, layout, num_heads),
            strict=True,
        ):
            # One batch dimension for torch.bmm: examples x heads.
            queries, keys, values = (each.flatten(0, 1) for each in (queries_EHKd, keys_EHLd, values_EHLd))
            bias = bias_E11L.expand(-1, num_heads, -1, -1).flatten(0, 1)
            scores = torch.baddbmm(bias, queries, keys.transpose(1, 2), alpha=queries.shape[-1] ** -0.5)
            weights = torch.softmax(scores, dim=-1)
            mask = masks.draw(weights.shape, rate, weights.dtype)
            dropped = weights * mask
            output_EHKd.copy_(torch.bmm(dropped, values).mul_(1.0 / (1.0 - rate)).view(output_EHKd.shape))
            saved += [queries, keys, values, weights, mask, dropped]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.num_heads, ctx.rate = layout, num_heads, rate
        return output_QD

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        gradient_QD = gradients[0]
        num_padded_rows = len(ctx.layout.packed_rows_P)
        query_gradient_QD = torch.empty_like(gradient_QD)
        key_gradient_PD, value_gradient_PD = gradient_QD.new_empty(2, num_padded_rows, gradient_QD.shape[-1])
        saved = iter(ctx.saved_tensors)
        scale = 1.0 / (1.0 - ctx.rate)
        for gradient_EHKd, *written in zip(
            *(
                _split_heads(rows, ctx.layout, ctx.num_heads)
                for rows in (gradient_QD, query_gradient_QD, key_gradient_PD, value_gradient_PD)
            ),
            strict=True,
        ):
            queries, keys, values, weights, mask, dropped = (next(saved) for _ in range(6))
            output_gradient = gradient_EHKd.flatten(0, 1) * scale
            weight_gradient = torch.bmm(output_gradient, values.transpose(1, 2)).mul_(mask)
            score_gradient = torch._softmax_backward_data(weight_gradient, weights, -1, weights.dtype)
            score_gradient.mul_(queries.shape[-1] ** -0.5)
            computed = (
                torch.bmm(score_gradient, keys),
                torch.bmm(score_gradient.transpose(1, 2), queries),
                torch.bmm(dropped.transpose(1, 2), output_gradient),
            )
            for target, value in zip(written, computed, strict=True):
                target.copy_(value.view(target.shape))
        return query_gradient_QD, key_gradient_PD, value_gradient_PD, None, None, None, None


def _split_heads(rows_QD: Tensor, layout: PaddingLayout, num_heads: int) -> Iterator[Tensor]:
    """Yield a view of each group's rows as (E, H, K, D / H); a tensor of P rows has K = L, one of B rows K = 1."""
    has_padded_rows = len(rows_QD) == len(layout.packed_rows_P)
    sizes = [group.num_padded_rows if has_padded_rows else group.num_examples for group in layout.groups]
    for group, rows in zip(layout.groups, torch.split(rows_QD, sizes), strict=True):
        yield rows.view(group.num_examples, -1, num_heads, rows.shape[-1] // num_heads).transpose(1, 2)


def _split_bias(layout: PaddingLayout, dtype: torch.dtype) -> Iterator[Tensor]:
    """Yield each group's attention bias as (E, 1, 1, L)."""
    sizes = [group.num_padded_rows for group in layout.groups]
    for group, bias in zip(layout.groups, torch.split(layout.attention_bias_P.to(dtype), sizes), strict=True):
        yield bias.view(group.num_examples, 1, 1, group.length)
