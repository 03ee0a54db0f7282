"""The one place where a batch meets a model: BERT's arithmetic over packed rows, with transformers' own weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertForSequenceClassification

from pkd_core.model.attention import attend, pad, unpad
from pkd_core.model.dropout import KeepMasks, drop, drop_and_add
from pkd_core.model.packing import PackedBatch


@dataclass(frozen=True)
class Outputs:
    """What a batch comes out as: logits (B, C), and [CLS] states (B, N, D) where [:, k - 1] is layer k's."""

    logits_BC: Tensor
    cls_states_BND: Tensor


@dataclass(frozen=True)
class _Pass:
    """What every layer of a forward pass uses."""

    batch: PackedBatch
    num_heads: int
    hidden_rate: float
    attention_rate: float
    masks: KeepMasks | None


def forward(
    model: BertForSequenceClassification,
    batch: PackedBatch,
    dtype: torch.dtype = torch.float32,
    masks: KeepMasks | None = None,
) -> Outputs:
    """Run a batch through a model, keeping the [CLS] row of every layer's output.

    Equal to transformers' own forward over padded examples, up to rounding: the logits, and the states that it calls
    `hidden_states[k][:, 0]`, from k = 1. Of the last layer only the [CLS] rows are computed: nothing reads the others.

    Args:
        model: On the batch's device; its weights stay in float32.
        batch: The examples.
        dtype: What all between the embeddings and the classifier is computed in.
        masks: Where dropout's masks come from; None for no dropout, whatever mode the model is in.

    Returns:
        Logits in float32, states in `dtype`, in the batch's order.
    """
    config = model.config
    assert model.bert.pooler is not None, "a sequence classifier has one"
    setting = _Pass(
        batch,
        config.num_attention_heads,
        config.hidden_dropout_prob,
        config.attention_probs_dropout_prob,
        masks,
    )
    hidden_TD = drop(_embed(model.bert.embeddings, batch).to(dtype), setting.hidden_rate, masks)
    hidden_TD, cls_BD = take_cls(hidden_TD, batch.cls_positions_B)
    *layers, last = model.bert.encoder.layer
    cls_states_BD = []
    for layer in layers:
        hidden_TD, cls_BD = take_cls(_layer(layer, hidden_TD, hidden_TD, setting), batch.cls_positions_B)
        cls_states_BD.append(cls_BD)
    cls_states_BD.append(_layer(last, hidden_TD, cls_BD, setting))
    pooled_BD = torch.tanh(_linear(model.bert.pooler.dense, cls_states_BD[-1])).float()
    logits_BC = model.classifier(drop(pooled_BD, model.dropout.p, masks))
    return Outputs(logits_BC, torch.stack(cls_states_BD, dim=1))


def _embed(embeddings: Any, batch: PackedBatch) -> Tensor:
    summed_TD = (
        embeddings.word_embeddings(batch.input_ids_T)
        + embeddings.token_type_embeddings(batch.token_type_ids_T)
        + embeddings.position_embeddings(batch.position_ids_T)
    )
    return _normalize(embeddings.LayerNorm, summed_TD)


def take_cls(hidden_TD: Tensor, cls_positions_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return all rows, to go on with, and a copy of the examples' first ones."""
    rows: tuple[Tensor, Tensor] = _TakeCls.apply(hidden_TD, cls_positions_B)  # type: ignore[no-untyped-call]
    return rows


class _TakeCls(torch.autograd.Function):
    """Adds the [CLS] rows' gradient to all rows' in one pass over memory; autograd's own takes three."""

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


def _layer(layer: Any, hidden_TD: Tensor, query_rows_QD: Tensor, setting: _Pass) -> Tensor:
    """Run an encoder layer for all rows (Q = T), or for each example's [CLS] row alone (Q = B)."""
    layout = setting.batch.layout
    of_all_rows = query_rows_QD is hidden_TD
    weights = layer.attention.self
    queries = _linear(weights.query, query_rows_QD)
    attended = attend(
        pad(queries, layout) if of_all_rows else queries,
        pad(_linear(weights.key, hidden_TD), layout),
        pad(_linear(weights.value, hidden_TD), layout),
        layout,
        setting.num_heads,
        setting.attention_rate,
        setting.masks,
    )
    context_QD = unpad(attended, layout) if of_all_rows else attended
    attended_QD = _project(layer.attention.output, context_QD, query_rows_QD, setting)
    inner_QI = layer.intermediate.intermediate_act_fn(_linear(layer.intermediate.dense, attended_QD))
    return _project(layer.output, inner_QI, attended_QD, setting)


def _project(output: Any, values: Tensor, residual_QD: Tensor, setting: _Pass) -> Tensor:
    projected_QD = _linear(output.dense, values)
    return _normalize(
        output.LayerNorm, drop_and_add(projected_QD, residual_QD, setting.hidden_rate, setting.masks)
    )


def _linear(linear: nn.Linear, values: Tensor) -> Tensor:
    return functional.linear(values, linear.weight.to(values.dtype), linear.bias.to(values.dtype))


def _normalize(norm: nn.LayerNorm, values: Tensor) -> Tensor:
    weight, bias = norm.weight.to(values.dtype), norm.bias.to(values.dtype)
    return functional.layer_norm(values, norm.normalized_shape, weight, bias, norm.eps)
