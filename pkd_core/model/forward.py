"""BERT's forward pass over packed batches, with the weights of a transformers model.

Shapes: B examples, T packed rows, Q query rows (T, or B where only [CLS] rows are computed), D hidden size,
I intermediate size, N layers, C classes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertForSequenceClassification, BertModel

from pkd_core.model.attention import attend, pad, unpad
from pkd_core.model.dropout import KeepMasks, drop, drop_and_add
from pkd_core.model.linear import linear
from pkd_core.model.packed_attention import attend_packed
from pkd_core.model.packing import PackedBatch, PaddingLayout


@dataclass(frozen=True)
class Outputs:
    """A model's outputs for a batch.

    Attributes:
        logits_BC: Logits, float32; the prediction, with C = 1, for a regression task. Of an example of K choices, C is
            K: each one's only logit.
        cls_states_BND: [CLS] states; [:, k - 1] is the output of layer k. Of an example of K choices, the states of all
            choices one after the other, so that D is K times the hidden size.
    """

    logits_BC: Tensor
    cls_states_BND: Tensor


def forward(
    model: BertForSequenceClassification,
    batch: PackedBatch,
    dtype: torch.dtype = torch.float32,
    masks: KeepMasks | None = None,
) -> Outputs:
    """Return a batch's logits and every layer's [CLS] states.

    Up to rounding, they equal transformers' own forward over padded examples: its logits, and its
    `hidden_states[k][:, 0]` for k >= 1. The last layer is computed for the [CLS] rows only; nothing reads the others.

    Args:
        model: On the batch's device, with float32 weights.
        batch: The examples, packed with padding unless `needs_padding` says that attention needs none.
        dtype: Dtype of all operations between embeddings and classifier.
        masks: Source of dropout masks; None for no dropout, whether the model is in training mode or not. They are
            drawn in the order of computation: embeddings, then each layer's attention weights (by group), attention
            output and layer output, then the pooled output.

    Returns:
        Logits in float32 and states in `dtype`, in the batch's order.
    """
    embeddings, positions_B = model.bert.embeddings, batch.cls_positions_B
    hidden_TD = drop(_embed(embeddings, batch).to(dtype), embeddings.dropout.p, masks)
    hidden_TD, cls_BD = take_cls(hidden_TD, positions_B)
    *layers, last = model.bert.encoder.layer
    cls_states_BD = []
    for layer in layers:
        hidden_TD, cls_BD = take_cls(_layer(layer, hidden_TD, hidden_TD, batch.layout, masks), positions_B)
        cls_states_BD.append(cls_BD)
    cls_states_BD.append(_layer(last, hidden_TD, cls_BD, batch.layout, masks))
    assert model.bert.pooler is not None, "a sequence classifier has one"
    pooled_BD = torch.tanh(_linear(model.bert.pooler.dense, cls_states_BD[-1])).float()
    logits_BC = model.classifier(drop(pooled_BD, model.dropout.p, masks))
    if batch.choices_V is None:
        return Outputs(logits_BC, torch.stack(cls_states_BD, dim=1))
    num_examples = len(batch.example_ids_B)
    grouped_BD = [state.index_select(0, batch.choices_V).view(num_examples, -1) for state in cls_states_BD]
    logits_BC = logits_BC.index_select(0, batch.choices_V).view(num_examples, -1)
    return Outputs(logits_BC, torch.stack(grouped_BD, dim=1))


@torch.inference_mode()
def encode(bert: BertModel, batch: PackedBatch) -> Tensor:
    """Return the last layer's output for every packed row (T, D), in float32 without dropout."""
    hidden_TD = _embed(bert.embeddings, batch)
    for layer in bert.encoder.layer:
        hidden_TD = _layer(layer, hidden_TD, hidden_TD, batch.layout, None)
    return hidden_TD


def take_cls(hidden_TD: Tensor, cls_positions_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return all rows (T, D), for the next layer, and a copy of the [CLS] rows (B, D).

    >>> hidden_TD = torch.tensor([[10.0], [11.0], [20.0]])
    >>> take_cls(hidden_TD, torch.tensor([0, 2]))[1].flatten().tolist()
    [10.0, 20.0]
    """
    rows: tuple[Tensor, Tensor] = _TakeCls.apply(hidden_TD, cls_positions_B)  # type: ignore[no-untyped-call]
    return rows


class _TakeCls(torch.autograd.Function):
    """Adds the [CLS] rows' gradient to that of all rows in one pass over memory; autograd takes three."""

    @staticmethod
    def forward(ctx: Any, hidden_TD: Tensor, cls_positions_B: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cls_positions_B)
        ctx.set_materialize_grads(False)
        return hidden_TD.view_as(hidden_TD), hidden_TD.index_select(0, cls_positions_B)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (cls_positions_B,) = ctx.saved_tensors
        gradient_TD, cls_gradient_BD = gradients
        if cls_gradient_BD is not None:
            gradient_TD = gradient_TD.index_add(0, cls_positions_B, cls_gradient_BD)
        return gradient_TD, None


def _embed(embeddings: Any, batch: PackedBatch) -> Tensor:
    tables_and_ids = (
        (embeddings.word_embeddings, batch.input_ids_T),
        (embeddings.token_type_embeddings, batch.token_type_ids_T),
        (embeddings.position_embeddings, batch.position_ids_T),
    )
    if batch.input_ids_T.is_cuda:
        # Its gradient adds rows with atomics; that of an embedding goes through the batch once for each of few rows.
        words_TD, types_TD, positions_TD = (
            table.weight.index_select(0, ids) for table, ids in tables_and_ids
        )
    else:
        words_TD, types_TD, positions_TD = (table(ids) for table, ids in tables_and_ids)
    summed_TD = words_TD + types_TD + positions_TD
    return _normalize(embeddings.LayerNorm, summed_TD)


def _layer(
    layer: Any, hidden_TD: Tensor, queries_QD: Tensor, layout: PaddingLayout, masks: KeepMasks | None
) -> Tensor:
    """Return an encoder layer's output (Q, D).

    Args:
        layer: A BertLayer.
        hidden_TD: Input of the layer, which attention reads in full.
        queries_QD: The rows to compute: `hidden_TD` itself (Q = T), or its [CLS] rows alone (Q = B).
        layout: The examples side by side.
        masks: Source of dropout masks.
    """
    attention = layer.attention.self
    if layout.groups:
        context_QD = _attend_padded(attention, hidden_TD, queries_QD, layout, masks)
    else:
        context_QD = _attend_packed(attention, hidden_TD, queries_QD, layout, masks)
    attended_QD = _project(layer.attention.output, context_QD, queries_QD, masks)
    inner_QI = layer.intermediate.intermediate_act_fn(_linear(layer.intermediate.dense, attended_QD))
    return _project(layer.output, inner_QI, attended_QD, masks)


def _attend_padded(
    attention: Any, hidden_TD: Tensor, queries_QD: Tensor, layout: PaddingLayout, masks: KeepMasks | None
) -> Tensor:
    """Return a BertSelfAttention's output (Q, D), computed over padded groups of examples."""
    all_rows = queries_QD is hidden_TD
    projected_QD = _linear(attention.query, queries_QD)
    attended = attend(
        pad(projected_QD, layout) if all_rows else projected_QD,
        pad(_linear(attention.key, hidden_TD), layout),
        pad(_linear(attention.value, hidden_TD), layout),
        layout,
        attention.num_attention_heads,
        attention.dropout.p,
        masks,
    )
    return unpad(attended, layout) if all_rows else attended


def _attend_packed(
    attention: Any, hidden_TD: Tensor, queries_QD: Tensor, layout: PaddingLayout, masks: KeepMasks | None
) -> Tensor:
    """Return a BertSelfAttention's output (Q, D), with one product for all projections of the same rows."""
    query, key, value = attention.query, attention.key, attention.value
    if queries_QD is hidden_TD:
        projected_QD, keys_TD, values_TD = _joint_linear((query, key, value), hidden_TD)
    else:
        projected_QD = _linear(query, queries_QD)
        keys_TD, values_TD = _joint_linear((key, value), hidden_TD)
    rate = 0.0 if masks is None else attention.dropout.p
    return attend_packed(projected_QD, keys_TD, values_TD, layout, attention.num_attention_heads, rate)


def _joint_linear(layers: tuple[nn.Linear, ...], values: Tensor) -> tuple[Tensor, ...]:
    """Return what each of the layers computes; on a GPU, three small products take longer than one."""
    weight = torch.cat([layer.weight for layer in layers]).to(values.dtype)
    bias = torch.cat([layer.bias for layer in layers]).to(values.dtype)
    return linear(values, weight, bias).chunk(len(layers), dim=-1)


def _project(output: Any, values: Tensor, residual_QD: Tensor, masks: KeepMasks | None) -> Tensor:
    """Apply a BertSelfOutput or BertOutput: projection, dropout, residual, LayerNorm."""
    summed_QD = drop_and_add(_linear(output.dense, values), residual_QD, output.dropout.p, masks)
    return _normalize(output.LayerNorm, summed_QD)


def _linear(layer: nn.Linear, values: Tensor) -> Tensor:
    return linear(values, layer.weight.to(values.dtype), layer.bias.to(values.dtype))


def _normalize(norm: nn.LayerNorm, values: Tensor) -> Tensor:
    weight, bias = norm.weight.to(values.dtype), norm.bias.to(values.dtype)
    return functional.layer_norm(values, norm.normalized_shape, weight, bias, norm.eps)
