"""The packed forward is transformers' own: logits, states and gradients, with one segment or two, in any batch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_bert import by_example, make_table, padded, tiny_classifier
from torch import Tensor
from transformers import BertForSequenceClassification

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
        mine, other = ours(model, num_rows), reference(model, num_rows)
    torch.testing.assert_close(mine.logits_BC, other.logits_BC)
    torch.testing.assert_close(mine.cls_states_BND, other.cls_states_BND)


def squares(outputs: Outputs) -> Tensor:
    """A loss on which all of the outputs have a say, and each a different one."""
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
    mine, other = gradients
    assert {name for name, gradient in mine.items() if gradient is not None} >= {
        name for name, gradient in other.items() if gradient is not None and gradient.any()
    }
    for name, gradient in other.items():
        if gradient is not None and gradient.any():
            torch.testing.assert_close(mine[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_bfloat16_is_near_and_its_logits_are_float32() -> None:
    model = tiny_classifier(3)
    mine, other = ours(model, 20, torch.bfloat16), reference(model, 20)
    assert mine.logits_BC.dtype == torch.float32
    assert mine.cls_states_BND.dtype == torch.bfloat16
    torch.testing.assert_close(mine.logits_BC, other.logits_BC, atol=0.05, rtol=0.05)
    torch.testing.assert_close(mine.cls_states_BND.float(), other.cls_states_BND, atol=0.1, rtol=0.05)


def test_an_examples_outputs_do_not_depend_on_its_neighbours() -> None:
    model, table = tiny_classifier(), make_table(30)
    together = pack(table, np.arange(30))
    logits = forward(model, together).logits_BC[by_example(together)]
    for row in (0, 13, 29):
        alone = forward(model, pack(table, np.array([row]))).logits_BC[0]
        torch.testing.assert_close(logits[row], alone, atol=1e-5, rtol=1e-5)


def test_states_carry_gradients_to_their_layer_and_below() -> None:
    model = tiny_classifier(num_layers=3)
    ours(model, 2).cls_states_BND[:, 1].square().sum().backward()
    gradients = [layer.output.dense.weight.grad for layer in model.bert.encoder.layer]
    assert [gradient is not None and bool(gradient.any()) for gradient in gradients] == [True, True, False]


def test_without_masks_there_is_no_dropout_whatever_the_models_mode() -> None:
    model = tiny_classifier(dropout=0.5)
    expected = ours(model, 5).logits_BC
    assert torch.equal(ours(model.train(), 5).logits_BC, expected)


def test_a_token_beyond_the_vocabulary_is_an_error() -> None:
    batch = pack(make_table(2), np.arange(2))
    batch.input_ids_T[0] = 5000
    with pytest.raises(IndexError):
        forward(tiny_classifier(), batch)
