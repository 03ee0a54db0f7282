"""Attention over packed rows: the only place where examples stand side by side."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pkd_core.model.dropout import KeepMasks
from pkd_core.model.packing import Group, PaddingLayout


def pad(values_TD: Tensor, layout: PaddingLayout) -> Tensor:
    """Return packed rows (T, D) in their places in the padded groups (P, D)."""
    places: Tensor = _Pad.apply(values_TD, layout)  # type: ignore[no-untyped-call]
    return places


def unpad(values_PD: Tensor, layout: PaddingLayout) -> Tensor:
    """Return the padded groups' places (P, D) as packed rows (T, D), the filler zero."""
    rows: Tensor = _Unpad.apply(values_PD, layout)  # type: ignore[no-untyped-call]
    return rows


def attend(
    queries_QD: Tensor,
    keys_PD: Tensor,
    values_PD: Tensor,
    layout: PaddingLayout,
    num_heads: int,
    rate: float,
    masks: KeepMasks | None,
) -> Tensor:
    """Attend, in every example, to all of its tokens.

    Args:
        queries_QD: A query for every place (Q = P), or one for every example (Q = B).
        keys_PD: Keys of all places.
        values_PD: Values of all places.
        layout: How places belong to examples.
        num_heads: Heads that D is divided among.
        rate: Dropout of the attention's weights.
        masks: Where dropout's masks come from; None for no dropout.

    Returns:
        One row for each query, of its dtype.
    """
    if rate == 0.0:
        masks = None
    if masks is not None and queries_QD.device.type == "cpu":
        # torch's fused attention has no dropout on the CPU, and its other path computes in float32, slowly.
        dropped: Tensor = _DropoutAttention.apply(  # type: ignore[no-untyped-call]
            queries_QD, keys_PD, values_PD, layout, num_heads, rate, masks
        )
        return dropped
    sizes = [group.num_padded_rows for group in layout.groups]
    per_example = len(queries_QD) != len(keys_PD)
    query_sizes = [group.num_examples for group in layout.groups] if per_example else sizes
    bias_P = layout.attention_bias_P.to(queries_QD.dtype)
    outputs = []
    for group, queries, keys, values, bias in zip(
        layout.groups,
        torch.split(queries_QD, query_sizes),
        torch.split(keys_PD, sizes),
        torch.split(values_PD, sizes),
        torch.split(bias_P, sizes),
        strict=True,
    ):
        output = functional.scaled_dot_product_attention(
            _view_heads(queries, group, num_heads),
            _view_heads(keys, group, num_heads),
            _view_heads(values, group, num_heads),
            attn_mask=bias.view(group.num_examples, 1, 1, group.length),
            dropout_p=0.0 if masks is None else rate,
        )
        outputs.append(output.transpose(1, 2).reshape(queries.shape))
    return torch.cat(outputs)


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_TD: Tensor, layout: PaddingLayout) -> Tensor:
        ctx.layout = layout
        return values_TD.index_select(0, layout.packed_rows_P)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _collect(gradients[0], ctx.layout), None


class _Unpad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_PD: Tensor, layout: PaddingLayout) -> Tensor:
        ctx.layout = layout
        return _collect(values_PD, layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        # Places beyond an example's end take the last row's gradient, which is zero: nothing depends on filler.
        return gradients[0].index_select(0, ctx.layout.packed_rows_P), None


def _collect(values_PD: Tensor, layout: PaddingLayout) -> Tensor:
    rows_TD = values_PD.index_select(0, layout.padded_rows_T)
    rows_TD.narrow(0, layout.num_tokens, len(rows_TD) - layout.num_tokens).zero_()
    return rows_TD


class _DropoutAttention(torch.autograd.Function):
    """Softmax attention with dropout, group by group, all of it in the inputs' dtype.

    Products accumulate in float32, and so does the softmax, as torch's kernels have it.
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
        bias_P = layout.attention_bias_P.to(queries_QD.dtype)
        saved = []
        for group, query_rows, rows in _slices(layout, len(queries_QD)):
            queries = _split_heads(queries_QD[query_rows], group, num_heads)
            keys = _split_heads(keys_PD[rows], group, num_heads)
            values = _split_heads(values_PD[rows], group, num_heads)
            bias = bias_P[rows].view(group.num_examples, 1, 1, -1).expand(-1, num_heads, -1, -1)
            scores = torch.baddbmm(
                bias.reshape(len(queries), 1, group.length),
                queries,
                keys.transpose(1, 2),
                alpha=queries.shape[-1] ** -0.5,
            )
            weights = torch.softmax(scores, dim=-1)
            mask = masks.draw(weights.shape, rate, weights.dtype)
            dropped = weights * mask
            _join_heads(torch.bmm(dropped, values).mul_(1.0 / (1.0 - rate)), output_QD[query_rows], group)
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
        for group, query_rows, rows in _slices(ctx.layout, len(gradient_QD)):
            queries, keys, values, weights, mask, dropped = (next(saved) for _ in range(6))
            output_gradient = _split_heads(gradient_QD[query_rows], group, ctx.num_heads) * scale
            value_gradient = torch.bmm(dropped.transpose(1, 2), output_gradient)
            weight_gradient = torch.bmm(output_gradient, values.transpose(1, 2)).mul_(mask)
            score_gradient = torch._softmax_backward_data(weight_gradient, weights, -1, weights.dtype)
            score_gradient.mul_(queries.shape[-1] ** -0.5)
            _join_heads(torch.bmm(score_gradient, keys), query_gradient_QD[query_rows], group)
            _join_heads(torch.bmm(score_gradient.transpose(1, 2), queries), key_gradient_PD[rows], group)
            _join_heads(value_gradient, value_gradient_PD[rows], group)
        return query_gradient_QD, key_gradient_PD, value_gradient_PD, None, None, None, None


def _slices(layout: PaddingLayout, num_queries: int) -> Iterator[tuple[Group, slice, slice]]:
    """Yield each group with its queries' rows and its places."""
    query, place = 0, 0
    per_example = num_queries != len(layout.packed_rows_P)
    for group in layout.groups:
        num_group_queries = group.num_examples if per_example else group.num_padded_rows
        yield (
            group,
            slice(query, query + num_group_queries),
            slice(place, place + group.num_padded_rows),
        )
        query += num_group_queries
        place += group.num_padded_rows


def _view_heads(rows: Tensor, group: Group, num_heads: int) -> Tensor:
    """Return a group's rows as (examples, heads, rows of an example, D / heads)."""
    return rows.view(group.num_examples, -1, num_heads, rows.shape[-1] // num_heads).transpose(1, 2)


def _split_heads(rows: Tensor, group: Group, num_heads: int) -> Tensor:
    """Return a group's rows as (examples * heads, rows of an example, D / heads)."""
    heads = _view_heads(rows, group, num_heads)
    return heads.reshape(-1, *heads.shape[2:])


def _join_heads(heads: Tensor, rows: Tensor, group: Group) -> None:
    """Write what `_split_heads` would have split into the group's rows."""
    split = _view_heads(rows, group, len(heads) // group.num_examples)
    split.copy_(heads.view(split.shape))
