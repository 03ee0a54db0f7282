"""The packed forward pass equals that of transformers: logits, states and gradients, in any batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import by_example, make_table, padded, table_of, tiny_classifier
from torch import Tensor
from torch.nn import functional
from transformers import BertForSequenceClassification

from pkd_core.model.dropout import HostMasks
from pkd_core.model.forward import Outputs, forward
from pkd_core.model.packing import pack


def reference(model: BertForSequenceClassification, num_rows: int, seed: int = 0) -> Outputs:
    inputs = padded(make_table(num_rows, seed), range(num_rows))
    assert inputs["attention_mask"].min() == 0
    outputs = model(**inputs, output_hidden_states=True)
    states = torch.stack([hidden[:, 0] for hidden in outputs.hidden_states[1:]], dim=1)
    return Outputs(outputs.logits, states)


def ours(
    model: BertForSequenceClassification, num_rows: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Outputs:
    batch = pack(make_table(num_rows, seed), np.arange(num_rows))
    outputs = forward(model, batch, dtype)
    back = by_example(batch)
    return Outputs(outputs.logits_BC[back], outputs.cls_states_BND[back])


@pytest.mark.parametrize("num_rows", [2, 7, 8, 45])
@pytest.mark.parametrize("num_layers", [1, 4])
def test_logits_and_states_equal_hugging_face(num_rows: int, num_layers: int) -> None:
    model = tiny_classifier(num_layers, num_outputs=3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:  # biases of 0 and scales of 1 until now
                weight.add_(torch.randn_like(weight), alpha=0.1)
        packed, expected = ours(model, num_rows), reference(model, num_rows)
    torch.testing.assert_close(packed.logits_BC, expected.logits_BC)
    torch.testing.assert_close(packed.cls_states_BND, expected.cls_states_BND)


def squares(outputs: Outputs) -> Tensor:
    """A loss that depends on all outputs, on each in a different way."""
    weights = torch.linspace(0.5, 1.5, outputs.cls_states_BND.numel()).view_as(outputs.cls_states_BND)
    return (outputs.cls_states_BND.float() * weights).square().mean() + outputs.logits_BC.square().mean()


def first_state(outputs: Outputs) -> Tensor:
    return outputs.cls_states_BND[:, 0].float().pow(3).mean()


def logits_alone(outputs: Outputs) -> Tensor:
    return outputs.logits_BC.exp().mean()


@pytest.mark.parametrize("loss", [squares, first_state, logits_alone])
def test_gradients_equal_hugging_face(loss: Callable[[Outputs], Tensor]) -> None:
    model = tiny_classifier(3)
    gradients = []
    for run in (ours, reference):
        model.zero_grad()
        loss(run(model, 20)).backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    packed, expected = gradients
    for name, gradient in expected.items():
        if gradient is not None and gradient.any():
            torch.testing.assert_close(packed[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_bfloat16_is_close_to_float32_and_its_logits_are_float32() -> None:
    model = tiny_classifier(3)
    packed, expected = ours(model, 20, torch.bfloat16), reference(model, 20)
    assert packed.logits_BC.dtype == torch.float32
    assert packed.cls_states_BND.dtype == torch.bfloat16
    torch.testing.assert_close(packed.logits_BC, expected.logits_BC, atol=0.05, rtol=0.05)
    torch.testing.assert_close(packed.cls_states_BND.float(), expected.cls_states_BND, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("drops", [False, True])
def test_every_operation_between_embeddings_and_classifier_has_the_requested_dtype(
    dtype: torch.dtype, drops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[set[torch.dtype]]] = {}

    def watch(module: object, name: str) -> None:
        original = getattr(module, name)

        def spy(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            values = (result, *args, *kwargs.values())
            seen.setdefault(name, []).append({value.dtype for value in values if isinstance(value, Tensor)})
            return result

        monkeypatch.setattr(module, name, spy)

    for name in ("linear", "layer_norm", "scaled_dot_product_attention", "gelu"):
        watch(functional, name)
    watch(torch, "bmm")
    masks = HostMasks(1)
    watch(masks, "draw")
    batch = pack(table_of([5, 3]), np.arange(2))
    forward(tiny_classifier(num_layers=2), batch, dtype, masks if drops else None)
    attention = {"bmm": [{dtype}] * 2} if drops else {"scaled_dot_product_attention": [{dtype}] * 2}
    # Masks of the embeddings, three sites a layer, and the pooled output.
    drawn = {"draw": [{dtype}] * 7 + [{torch.float32}]} if drops else {}
    # Six products a layer, the pooler and the classifier; two LayerNorms a layer after that of the embeddings.
    assert seen == attention | drawn | {
        "linear": [{dtype}] * 13 + [{torch.float32}],
        "layer_norm": [{torch.float32}] + [{dtype}] * 4,
        "gelu": [{dtype}] * 2,
    }


def test_an_examples_outputs_do_not_depend_on_the_rest_of_its_batch() -> None:
    model, table = tiny_classifier(), make_table(30)
    together = pack(table, np.arange(30))
    logits = forward(model, together).logits_BC[by_example(together)]
    for row in (0, 13, 29):
        alone = forward(model, pack(table, np.array([row]))).logits_BC[0]
        torch.testing.assert_close(logits[row], alone, atol=1e-5, rtol=1e-5)


def test_gradients_of_a_state_reach_its_layer_and_those_below() -> None:
    model = tiny_classifier(num_layers=3)
    ours(model, 2).cls_states_BND[:, 1].square().sum().backward()
    gradients = [layer.output.dense.weight.grad for layer in model.bert.encoder.layer]
    assert [gradient is not None and bool(gradient.any()) for gradient in gradients] == [True, True, False]


def test_without_masks_there_is_no_dropout_even_in_training_mode() -> None:
    model = tiny_classifier(dropout=0.5)
    expected = ours(model, 5).logits_BC
    assert torch.equal(ours(model.train(), 5).logits_BC, expected)


def test_a_token_beyond_the_vocabulary_is_an_error() -> None:
    batch = pack(make_table(2), np.arange(2))
    batch.input_ids_T[0] = 5000
    with pytest.raises(IndexError):
        forward(tiny_classifier(), batch)
