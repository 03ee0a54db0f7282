"""Dropout: its rate, its mean, its seeds, its gradients, and the sites of a model where it acts."""

from threading import Event, Thread

import numpy as np
import pytest
import torch
from tiny_bert import ScriptedMasks, make_table, tiny_classifier
from torch import Tensor

from pkd_core.model.attention import attend, pad, unpad
from pkd_core.model.dropout import (
    DeviceMasks,
    HostMasks,
    KeepMasks,
    drop,
    drop_and_add,
    exclusive_generator,
    make_masks,
)
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack

SHAPE = (1000, 1003)


@pytest.mark.parametrize("masks", [HostMasks(1, 2, 3), DeviceMasks(torch.Generator().manual_seed(1))])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks_drop_at_their_rate_in_every_row_and_column(masks: KeepMasks, rate: float) -> None:
    mask = masks.draw(SHAPE, rate, torch.float32)
    assert mask.shape == SHAPE
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    # Four standard deviations of the mean.
    assert mask.mean().item() == pytest.approx(1 - rate, abs=4 * (rate * (1 - rate) / mask.numel()) ** 0.5)
    for dim in (0, 1):
        assert mask.mean(dim).std().item() == pytest.approx((rate * (1 - rate) / 1000) ** 0.5, rel=0.1)


def test_nearby_values_of_a_mask_are_independent() -> None:
    mask = HostMasks(5).draw((1_000_000,), 0.3, torch.float64) - 0.7
    for distance in (1, 2, 3, 4, 8, 1000):
        assert abs((mask[distance:] * mask[:-distance]).mean().item()) < 4 * 0.21 / 1000


def test_the_same_seeds_give_the_same_masks_and_every_other_seed_others() -> None:
    seeds = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (3, 2, 1), (1, 2)]
    masks = [HostMasks(*each).draw((64,), 0.5, torch.float32) for each in seeds]
    assert torch.equal(masks[0], HostMasks(1, 2, 3).draw((64,), 0.5, torch.float32))
    assert len({tuple(mask.tolist()) for mask in masks}) == len(seeds)


def test_masks_of_other_devices_are_drawn_by_a_generator_with_a_seed_of_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixed = int(np.random.SeedSequence((7, 4, 1)).generate_state(1)[0])
    expected = torch.empty(256).bernoulli_(0.5, generator=torch.Generator().manual_seed(mixed))
    # This machine may have no such device: the generator is the CPU's, and so are the masks.
    created, generator = [], torch.Generator()
    monkeypatch.setattr(torch, "Generator", lambda device: created.append(device) or generator)
    meta = torch.device("meta")
    assert torch.equal(make_masks(meta, 7, 4, 1).draw((256,), 0.5, torch.float32), expected)
    assert created == [meta]
    seeds: list[int] = []
    monkeypatch.setattr(
        torch.cuda, "manual_seed", lambda seed: seeds.append(seed) or generator.manual_seed(seed)
    )
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "default_generators", (generator,))
    on_cuda = make_masks(torch.device("cuda", 0), 7, 4, 1)
    assert torch.equal(on_cuda.draw((256,), 0.5, torch.float32), expected)
    assert seeds == [mixed]


@pytest.mark.parametrize(("device", "can_enter"), [("cuda", False), ("cpu", True)])
def test_one_training_at_a_time_draws_from_a_gpus_own_generator(device: str, can_enter: bool) -> None:
    entered = Event()

    def enter() -> None:
        with exclusive_generator(torch.device(device)):
            entered.set()

    with exclusive_generator(torch.device(device)):
        thread = Thread(target=enter)
        thread.start()
        assert entered.wait(60 if can_enter else 0.2) is can_enter
    thread.join()
    assert entered.is_set()


def test_masks_on_a_device_depend_on_their_generator_alone() -> None:
    draws = [
        DeviceMasks(torch.Generator().manual_seed(seed)).draw((64,), 0.5, torch.float32) for seed in (3, 3, 4)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("masks", [HostMasks(1), DeviceMasks(torch.Generator().manual_seed(1))])
def test_masks_drawn_one_after_another_differ_and_have_the_requested_dtype(masks: KeepMasks) -> None:
    first, second = (masks.draw((8, 8), 0.5, torch.bfloat16) for _ in range(2))
    assert not torch.equal(first, second)
    assert first.dtype == torch.bfloat16


def test_dropout_scales_the_kept_values_and_has_the_gradient_of_its_formula() -> None:
    masks = ScriptedMasks()
    values, residual = (torch.randn(6, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    dropped, total = drop(values, 0.2, masks), drop_and_add(values, residual, 0.2, masks)
    torch.testing.assert_close(dropped, values * masks.masks[0] / 0.8)
    torch.testing.assert_close(total, residual + values * masks.masks[1] / 0.8)
    assert torch.autograd.gradcheck(lambda x: drop(x, 0.2, masks.replay()), values)
    assert torch.autograd.gradcheck(lambda x, y: drop_and_add(x, y, 0.2, masks.replay()), (values, residual))


def test_no_masks_or_a_rate_of_0_change_nothing() -> None:
    values = torch.randn(5, 4)
    assert drop(values, 0.5, None) is values
    assert drop(values, 0.0, HostMasks(1)) is values
    assert torch.equal(drop_and_add(values, values, 0.5, None), 2 * values)
    assert torch.equal(drop_and_add(values, values, 0.0, HostMasks(1)), 2 * values)
    # Each of the 65,536 levels of a mask occurs about 15 times.
    assert HostMasks(1).draw((1_000_000,), 0.0, torch.bool).all()


def test_a_model_with_rates_of_0_draws_no_masks() -> None:
    model, batch, masks = tiny_classifier(dropout=0.0), pack(make_table(4), np.arange(4)), ScriptedMasks()
    assert torch.equal(forward(model, batch, masks=masks).logits_BC, forward(model, batch).logits_BC)
    assert masks.calls == []


@pytest.mark.parametrize("per_example", [False, True])
def test_attention_with_dropout_and_its_gradients_equal_the_formula(per_example: bool) -> None:
    table, heads = make_table(11), 2
    layout = pack(table, np.arange(11)).layout
    num_padded_rows = len(layout.packed_rows_P)
    num_queries = 11 if per_example else num_padded_rows
    torch.manual_seed(0)
    inputs = [
        torch.randn(rows, 8, dtype=torch.float64, requires_grad=True)
        for rows in (num_queries, num_padded_rows, num_padded_rows)
    ]
    masks = ScriptedMasks()
    attended = attend(*inputs, layout, heads, 0.3, masks)
    assert len(layout.groups) > 1
    first_query, first_key = 0, 0
    for group, mask in zip(layout.groups, masks.masks, strict=True):
        for example in range(group.num_examples):
            keys = slice(first_key, first_key + group.length)
            queries = slice(first_query, first_query + (1 if per_example else group.length))
            for head in range(heads):
                part = slice(4 * head, 4 * head + 4)
                scores = inputs[0][queries, part] @ inputs[1][keys, part].T / 2
                weights = (scores + layout.attention_bias_P[keys]).softmax(-1)
                expected = (weights * mask[example * heads + head] / 0.7) @ inputs[2][keys, part]
                torch.testing.assert_close(attended[queries, part], expected)
            first_key, first_query = keys.stop, queries.stop
    assert torch.autograd.gradcheck(
        lambda *given: attend(*given, layout, heads, 0.3, masks.replay()), inputs, fast_mode=True
    )


def test_padding_and_unpadding_have_the_right_gradients() -> None:
    layout = pack(make_table(11), np.arange(11)).layout
    is_token_P = (layout.attention_bias_P == 0)[:, None]
    weights = torch.randn(len(layout.packed_rows_P), 3, dtype=torch.float64) * is_token_P

    def there_and_back(rows: Tensor) -> Tensor:
        return unpad(pad(rows, layout) * weights, layout)[: layout.num_tokens]

    rows = torch.randn(len(layout.padded_rows_T), 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(there_and_back, rows, fast_mode=True)


def test_dropout_of_a_model_is_unbiased() -> None:
    model = tiny_classifier(1, dropout=0.1)
    batch = pack(make_table(4), np.arange(4))
    with torch.no_grad():
        expected = forward(model, batch).logits_BC
        logits = torch.stack([forward(model, batch, masks=HostMasks(seed)).logits_BC for seed in range(400)])
    assert (logits.std(0) > 0.01).all()
    # Not exactly unbiased, because of softmax, GELU and tanh; without the scaling by 1 / (1 - rate) it is far off.
    assert (logits.mean(0) - expected).abs().max() < 0.35 * logits.std(0).max()
