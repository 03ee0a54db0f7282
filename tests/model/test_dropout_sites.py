"""Dropout acts where transformers has it: the same masks in its training mode give the same results.

The packed forward pass draws its masks from a script. Each mask is then laid out over padded examples, and takes the
place of one call of `torch.nn.functional.dropout` in a transformers model in training mode.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tiny_bert import ScriptedMasks, padded, table_of, tiny_config
from torch import Tensor
from torch.nn import functional
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.model.forward import forward
from pkd_core.model.packing import PackedBatch, pack

HIDDEN, ATTENTION, POOLED = 0.2, 0.3, 0.4
NUM_HEADS, HIDDEN_SIZE = 2, 32
# 183 tokens; attention has a group of eight examples padded to 32 rows, and one of three padded to 16.
LENGTHS = [20, 3, 18, 17, 19, 25, 17, 21, 9, 22, 12]


@pytest.fixture
def model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = tiny_config(
        num_layers=2,
        vocab_size=1 + sum(LENGTHS),
        hidden_dropout_prob=HIDDEN,
        attention_probs_dropout_prob=ATTENTION,
        classifier_dropout=POOLED,
    )
    config._attn_implementation = "eager"
    return BertForSequenceClassification(config).train()


@pytest.fixture
def table() -> TokenTable:
    return table_of(LENGTHS)


def padded_masks(masks: list[Tensor], batch: PackedBatch) -> Iterator[Tensor]:
    """Yield the masks of a model of two layers as transformers draws them; the last layer has some for [CLS] only."""
    drawn = iter(masks)
    lengths = sorted(LENGTHS, reverse=True)
    num_examples, longest = len(lengths), max(lengths)

    def hidden() -> Tensor:
        mask = next(drawn)
        laid_out = torch.ones(num_examples, longest, HIDDEN_SIZE)
        for example, (start, length) in enumerate(zip(batch.cls_positions_B.tolist(), lengths, strict=True)):
            laid_out[example, :length] = mask[start : start + length]
        return laid_out

    def hidden_of_cls() -> Tensor:
        laid_out = torch.ones(num_examples, longest, HIDDEN_SIZE)
        laid_out[:, 0] = next(drawn)
        return laid_out

    def attention() -> Tensor:
        laid_out = torch.ones(num_examples, NUM_HEADS, longest, longest)
        first = 0
        for group in batch.layout.groups:
            mask = next(drawn).view(group.num_examples, NUM_HEADS, -1, group.length)
            mask = mask[:, :, :longest, :longest]
            laid_out[first : first + group.num_examples, :, : mask.shape[2], : mask.shape[3]] = mask
            first += group.num_examples
        return laid_out

    yield hidden()
    yield from (attention(), hidden(), hidden())
    yield from (attention(), hidden_of_cls(), hidden_of_cls())
    yield next(drawn)


def test_every_site_draws_a_mask_of_its_rate_and_shape_in_the_order_of_computation(
    model: BertForSequenceClassification, table: TokenTable
) -> None:
    batch, masks = pack(table, np.arange(len(table))), ScriptedMasks()
    forward(model, batch, masks=masks)
    assert masks.calls == [
        (HIDDEN, (192, HIDDEN_SIZE)),  # embeddings
        (ATTENTION, (8 * NUM_HEADS, 32, 32)),
        (ATTENTION, (3 * NUM_HEADS, 16, 16)),
        (HIDDEN, (192, HIDDEN_SIZE)),  # attention output
        (HIDDEN, (192, HIDDEN_SIZE)),  # layer output
        (ATTENTION, (8 * NUM_HEADS, 1, 32)),
        (ATTENTION, (3 * NUM_HEADS, 1, 16)),
        (HIDDEN, (11, HIDDEN_SIZE)),
        (HIDDEN, (11, HIDDEN_SIZE)),
        (POOLED, (11, HIDDEN_SIZE)),
    ]


def test_the_same_masks_in_transformers_training_mode_give_the_same_results(
    model: BertForSequenceClassification, table: TokenTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, masks = pack(table, np.arange(len(table))), ScriptedMasks()
    packed = forward(model, batch, masks=masks)
    (packed.logits_BC.square().sum() + packed.cls_states_BND.square().sum()).backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()

    script = padded_masks(masks.masks, batch)
    monkeypatch.setattr(
        functional, "dropout", lambda values, p=0.5, *_, **__: values * next(script) / (1 - p)
    )
    rows = (batch.example_ids_B - 100).tolist()
    expected = model(**padded(table, rows), output_hidden_states=True)
    assert next(script, None) is None
    states = torch.stack([hidden[:, 0] for hidden in expected.hidden_states[1:]], dim=1)
    torch.testing.assert_close(packed.logits_BC, expected.logits)
    torch.testing.assert_close(packed.cls_states_BND, states)
    (expected.logits.square().sum() + states.square().sum()).backward()
    for name, weight in model.named_parameters():
        if weight.grad is not None and weight.grad.any():
            torch.testing.assert_close(gradients[name], weight.grad, atol=1e-4, rtol=1e-4, msg=name)
