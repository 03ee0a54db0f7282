"""The schedule equals Hugging Face's, weight decay skips vectors, and clipping equals torch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import tiny_classifier
from transformers import get_linear_schedule_with_warmup

from pkd_core.config.settings import TrainingConfig
from pkd_core.training.optimizer import clipped_step, learning_rate_at, make_optimizer, set_learning_rate


@given(st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_schedule_equals_hugging_face(num_steps: int, warmup_fraction: float) -> None:
    settings = TrainingConfig(learning_rate=3e-5, warmup_fraction=warmup_fraction)
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-5)
    schedule = get_linear_schedule_with_warmup(reference, round(warmup_fraction * num_steps), num_steps)
    for step in range(1, num_steps + 1):
        assert learning_rate_at(step, num_steps, settings) == pytest.approx(schedule.get_last_lr()[0])
        reference.step()
        schedule.step()


def test_weight_decay_skips_biases_and_layer_norms_only() -> None:
    model = tiny_classifier()
    optimizer = make_optimizer(model, TrainingConfig(weight_decay=0.01), torch.device("cpu"))
    not_decayed = {
        id(weight)
        for group in optimizer.param_groups
        if not group["weight_decay"]
        for weight in group["params"]
    }
    for name, weight in model.named_parameters():
        assert (id(weight) in not_decayed) == (name.endswith("bias") or "LayerNorm" in name), name
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_the_learning_rate_is_set_in_every_group() -> None:
    settings = TrainingConfig(learning_rate=0.25)
    optimizer = make_optimizer(tiny_classifier(), settings, torch.device("cpu"))
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


# torch's optimizer is fused on the CPU and on CUDA, and on no other device.
@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
@pytest.mark.parametrize("max_norm", [0.01, 1e6])
def test_a_clipped_step_equals_torchs_clipping_and_a_plain_step(max_norm: float, device: str) -> None:
    # Random gradients: real ones of the keys' biases are rounding alone, which Adam scales up to full steps.
    generator = torch.Generator().manual_seed(0)
    settings = TrainingConfig(learning_rate=0.01)
    models = [tiny_classifier(2), tiny_classifier(2)]
    optimizers = [make_optimizer(model, settings, torch.device(device)) for model in models]
    assert optimizers[0].defaults["fused"] is (device != "meta")
    for _ in range(3):
        for mine, other in zip(*(model.parameters() for model in models), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        expected = torch.nn.utils.clip_grad_norm_(models[0].parameters(), max_norm)
        optimizers[0].step()
        optimizers[0].zero_grad()
        torch.testing.assert_close(clipped_step(optimizers[1], max_norm), expected)
    for mine, other in zip(*(model.parameters() for model in models), strict=True):
        assert other.grad is None
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)
