"""The schedule equals Hugging Face's, weight decay skips vectors, and clipping equals torch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import tiny_classifier
from transformers import get_linear_schedule_with_warmup

from pkd_core.config.settings import TrainingConfig
from pkd_core.training.optimizer import learning_rate_at, make_optimizer, set_learning_rate, update
from pkd_core.training.update_rules import AdamW, BertAdam, UpdateRule


@given(st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_schedule_equals_hugging_face(num_steps: int, warmup_fraction: float) -> None:
    settings = TrainingConfig(learning_rate=3e-5, warmup_fraction=warmup_fraction, num_epochs=1, batch_size=4)
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-5)
    schedule = get_linear_schedule_with_warmup(reference, round(warmup_fraction * num_steps), num_steps)
    for step in range(1, num_steps + 1):
        assert learning_rate_at(step, 4 * num_steps - 1, settings) == pytest.approx(schedule.get_last_lr()[0])
        reference.step()
        schedule.step()


def test_weight_decay_skips_biases_and_layer_norms_only() -> None:
    model = tiny_classifier()
    optimizer = make_optimizer(model, TrainingConfig(weight_decay=0.01), AdamW(), torch.device("cpu"))
    not_decayed = {
        id(weight)
        for group in optimizer.param_groups
        if not group["weight_decay"]
        for weight in group["params"]
    }
    for name, weight in model.named_parameters():
        assert (id(weight) in not_decayed) == (name.endswith("bias") or "LayerNorm" in name), name
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_counted_by_full_batches_the_rate_ends_at_0_before_the_training_does() -> None:
    settings = TrainingConfig(
        learning_rate=1.0, warmup_fraction=0.25, num_epochs=2, batch_size=4, schedule="full-batches"
    )
    rates = [learning_rate_at(step, 11, settings) for step in range(1, 7)]
    # 2 of 3 batches are full in each of 2 epochs, so the rate lasts for 4 steps, one of which warms up.
    assert rates == pytest.approx([0.0, 1.0, 2 / 3, 1 / 3, 0.0, 0.0])


def test_a_data_set_smaller_than_a_batch_has_a_schedule_too() -> None:
    settings = TrainingConfig(num_epochs=2, batch_size=32, warmup_fraction=1.0, schedule="full-batches")
    assert [learning_rate_at(step, 3, settings) for step in (1, 2, 3)] == pytest.approx([0.0, 1e-5, 0.0])


@pytest.mark.parametrize(("rule", "epsilon"), [(AdamW(), 1e-8), (BertAdam(), 1e-6)])
def test_an_optimizer_has_its_rules_epsilon_and_the_steps_rate(rule: UpdateRule, epsilon: float) -> None:
    settings = TrainingConfig(learning_rate=0.25, weight_decay=0.5)
    optimizer = make_optimizer(tiny_classifier(), settings, rule, torch.device("cpu"))
    set_learning_rate(optimizer, 0.125)
    values = [(group["lr"], group["eps"], group["weight_decay"]) for group in optimizer.param_groups]
    assert values == [(0.125, epsilon, 0.5), (0.125, epsilon, 0.0)]


def test_without_bias_correction_the_first_step_is_three_times_as_long() -> None:
    """Of a gradient g, m / sqrt(v) is 0.1 g / sqrt(0.001 g^2) there, which is 3.16; with the correction it is 1."""
    settings = TrainingConfig(weight_decay=0.0)
    model = torch.nn.Linear(3, 2)
    before = model.weight.detach().clone()
    optimizer = make_optimizer(model, settings, BertAdam(), torch.device("cpu"))
    set_learning_rate(optimizer, 0.5)
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 0.01)
    update(optimizer, BertAdam(), settings.max_grad_norm)
    moved = 0.5 * 0.001 / ((0.001 * 0.01**2) ** 0.5 + 1e-6)
    torch.testing.assert_close(before - model.weight, torch.full_like(before, moved))
    assert moved == pytest.approx(0.5 * 3.16, rel=0.01)
    # The second step of the same gradient: m is 0.19 g, v is 0.001999 g^2.
    before = model.weight.detach().clone()
    update(optimizer, BertAdam(), settings.max_grad_norm)
    moved = 0.5 * 0.0019 / ((0.001999 * 0.01**2) ** 0.5 + 1e-6)
    torch.testing.assert_close(before - model.weight, torch.full_like(before, moved))


# torch's optimizer is fused on the CPU and on CUDA, and on no other device.
@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
@pytest.mark.parametrize("max_norm", [0.01, 1e6])
def test_an_update_equals_torchs_clipping_and_a_plain_step(max_norm: float, device: str) -> None:
    # Random gradients: real ones of the keys' biases are rounding alone, which Adam scales up to full steps.
    generator = torch.Generator().manual_seed(0)
    settings = TrainingConfig(learning_rate=0.01, max_grad_norm=max_norm)
    models = [tiny_classifier(2), tiny_classifier(2)]
    optimizers = [make_optimizer(model, settings, AdamW(), torch.device(device)) for model in models]
    assert optimizers[0].defaults["fused"] is (device != "meta")
    assert optimizers[0].defaults["capturable"] is (device == "cuda")
    for _ in range(3):
        for mine, other in zip(*(model.parameters() for model in models), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        expected = torch.nn.utils.clip_grad_norm_(models[0].parameters(), max_norm)
        optimizers[0].step()
        optimizers[0].zero_grad()
        norm = update(optimizers[1], AdamW(), max_norm)
        optimizers[1].zero_grad()
        torch.testing.assert_close(norm, expected)
    for mine, other in zip(*(model.parameters() for model in models), strict=True):
        assert other.grad is None
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)
