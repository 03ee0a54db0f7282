"""Dropout drops at its rate, keeps the mean, repeats with its seeds, and has the gradients of its formula."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny_bert import make_table, tiny_classifier
from torch import Tensor

from pkd_core.model.attention import attend, pad, unpad
from pkd_core.model.dropout import DeviceMasks, HostMasks, KeepMasks, drop, drop_and_add
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack

SHAPE = (1000, 1003)


class Remembered:
    """Hands out masks of its own, the same ones again after `rewind`."""

    def __init__(self) -> None:
        self.masks: list[Tensor] = []
        self._next = 0

    def rewind(self) -> None:
        self._next = 0

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        if self._next == len(self.masks):
            self.masks.append((torch.rand(*shape) >= rate).to(dtype))
        self._next += 1
        return self.masks[self._next - 1]


@pytest.mark.parametrize("masks", [HostMasks(1, 2, 3), DeviceMasks(torch.Generator().manual_seed(1))])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks_drop_at_their_rate_everywhere(masks: KeepMasks, rate: float) -> None:
    mask = masks.draw(SHAPE, rate, torch.float32)
    assert mask.shape == SHAPE
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    # Four standard deviations of so many throws.
    assert mask.mean().item() == pytest.approx(1 - rate, abs=4 * (rate * (1 - rate) / mask.numel()) ** 0.5)
    for dim in (0, 1):
        assert mask.mean(dim).std().item() == pytest.approx((rate * (1 - rate) / 1000) ** 0.5, rel=0.1)


def test_neighbouring_throws_are_independent() -> None:
    mask = HostMasks(5).draw((1_000_000,), 0.3, torch.float64) - 0.7
    for distance in (1, 2, 3, 4, 8, 1000):
        assert abs((mask[distance:] * mask[:-distance]).mean().item()) < 4 * 0.21 / 1000


def test_equal_seeds_give_equal_masks_and_each_seed_counts() -> None:
    drawn = [HostMasks(*seeds).draw((64,), 0.5, torch.float32) for seeds in ((1, 2), (1, 2), (1, 3), (2, 2))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[3])


def test_dropout_scales_what_it_keeps_and_passes_gradients_through_its_mask() -> None:
    masks = Remembered()
    values = torch.randn(50, 40, dtype=torch.float64, requires_grad=True)
    residual = torch.randn(50, 40, dtype=torch.float64, requires_grad=True)
    dropped, total = drop(values, 0.2, masks), drop_and_add(values, residual, 0.2, masks)
    torch.testing.assert_close(dropped, values * masks.masks[0] / 0.8)
    torch.testing.assert_close(total, residual + values * masks.masks[1] / 0.8)
    masks.rewind()
    assert torch.autograd.gradcheck(lambda x: drop(x, 0.2, _again(masks)), values)
    masks.rewind()
    assert torch.autograd.gradcheck(lambda x, y: drop_and_add(x, y, 0.2, _again(masks)), (values, residual))


def _again(masks: Remembered) -> Remembered:
    masks.rewind()
    return masks


def test_no_masks_or_no_rate_change_nothing() -> None:
    values = torch.randn(5, 4)
    assert drop(values, 0.5, None) is values
    assert drop(values, 0.0, HostMasks(1)) is values
    assert torch.equal(drop_and_add(values, values, 0.5, None), 2 * values)


@pytest.mark.parametrize("per_example", [False, True])
def test_attention_with_dropout_is_its_formula_and_its_gradients_too(per_example: bool) -> None:
    table, heads = make_table(11), 2
    layout = pack(table, np.arange(11)).layout
    num_padded_rows, num_queries = len(layout.packed_rows_P), 11 if per_example else len(layout.packed_rows_P)
    torch.manual_seed(0)
    inputs = [
        torch.randn(rows, 8, dtype=torch.float64, requires_grad=True)
        for rows in (num_queries, num_padded_rows, num_padded_rows)
    ]
    masks = Remembered()
    attended = attend(*inputs, layout, heads, 0.3, masks)
    query, place = 0, 0
    for group, mask in zip(layout.groups, masks.masks, strict=True):
        for example in range(group.num_examples):
            own = slice(place, place + group.length)
            own_queries = slice(query, query + (1 if per_example else group.length))
            for head in range(heads):
                part = slice(4 * head, 4 * head + 4)
                scores = inputs[0][own_queries, part] @ inputs[1][own, part].T / 2
                weights = (scores + layout.attention_bias_P[own]).softmax(-1)
                expected = (weights * mask[example * heads + head] / 0.7) @ inputs[2][own, part]
                torch.testing.assert_close(attended[own_queries, part], expected)
            place, query = own.stop, own_queries.stop
    assert torch.autograd.gradcheck(
        lambda *given: attend(*given, layout, heads, 0.3, _again(masks)), inputs, fast_mode=True
    )


def test_going_to_places_and_back_has_the_right_gradients() -> None:
    layout = pack(make_table(11), np.arange(11)).layout
    weights = (
        torch.randn(len(layout.packed_rows_P), 3, dtype=torch.float64)
        * (layout.attention_bias_P == 0)[:, None]
    )

    def there_and_back(rows: Tensor) -> Tensor:
        return unpad(pad(rows, layout) * weights, layout)[: layout.num_tokens]

    rows = torch.randn(len(layout.padded_rows_T), 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(there_and_back, rows, fast_mode=True)


def test_a_models_dropout_is_unbiased_and_reaches_every_layer() -> None:
    model = tiny_classifier(1, dropout=0.1)
    batch = pack(make_table(4), np.arange(4))
    with torch.no_grad():
        expected = forward(model, batch).logits_BC
        drawn = torch.stack([forward(model, batch, masks=HostMasks(seed)).logits_BC for seed in range(400)])
    assert (drawn.std(0) > 0.01).all()
    # Not exactly unbiased: dropout goes through softmax, GELU and tanh. A scale forgotten would be far off.
    assert (drawn.mean(0) - expected).abs().max() < 0.35 * drawn.std(0).max()
