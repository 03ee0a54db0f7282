"""What a GPU refuses or waits for, found without one: operations on two devices, and values copied to the CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import make_table, tiny_classifier, tiny_config
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from transformers import BertForSequenceClassification

from pkd_core.model.forward import forward
from pkd_core.model.packing import PackedBatch, pack
from pkd_core.teacher_states.reader import TeacherTargets
from pkd_core.training.objective import Objective, batch_losses

CHANGES: list[dict[str, Any]] = [
    {},
    {"distillation_loss": "logits-mse"},
    {"distillation_loss": "dkd"},
    {"distillation_loss": "dkd", "has_unlabelled": True},
]
META = torch.device("meta")
GPU = torch.device("cuda", 0)


class MasksOnDevice:
    """Masks on a device for which no generator can be created here."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device=self._device).bernoulli_(1.0 - rate)


@pytest.fixture(autouse=True)
def no_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinning memory needs the driver."""
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)


def empty_classifier(device: torch.device) -> BertForSequenceClassification:
    """Return a classifier with uninitialized weights on the device."""
    model = tiny_classifier()
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(weight.shape, device=device)))
    return model


def total_loss(device: torch.device, batch: PackedBatch, **changes: Any) -> Tensor:
    """Return the loss of patient distillation on a batch on the device."""
    assert batch.labels_B is not None
    config, num_examples = tiny_config(), len(batch.labels_B)
    teacher = TeacherTargets(
        torch.empty(num_examples, 2, device=device),
        torch.empty(num_examples, 1, config.hidden_size, dtype=torch.float16, device=device),
    )
    objective = Objective(
        alpha=0.5,
        temperature=5.0,
        distillation_reduction="element_mean",
        teacher_states=None,
        beta=100.0,
        layer_map=((1, 2),),
        **changes,
    )
    outputs = forward(empty_classifier(device), batch, torch.bfloat16, MasksOnDevice(device))
    return batch_losses(outputs, batch.labels_B, teacher, objective, is_regression=False).total


@pytest.mark.parametrize("changes", CHANGES)
def test_a_forward_pass_stays_on_its_device_and_copies_nothing_to_the_cpu(changes: dict[str, Any]) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        assert total_loss(GPU, pack(make_table(40), np.arange(32), GPU), **changes).device == GPU


@pytest.mark.parametrize("changes", CHANGES)
def test_a_backward_pass_copies_nothing_to_the_cpu(changes: dict[str, Any]) -> None:
    loss = total_loss(META, pack(make_table(40), np.arange(32), META), **changes)
    loss.backward()
    assert loss.device == META


@pytest.mark.parametrize("masks", [MasksOnDevice(META), None])
def test_a_gpus_fused_attention_drops_at_the_models_rate(
    masks: MasksOnDevice | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, fused = [], functional.scaled_dot_product_attention

    def spy(*args: Any, dropout_p: float, **kwargs: Any) -> Tensor:
        rates.append(dropout_p)
        return fused(*args, dropout_p=dropout_p, **kwargs)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spy)
    forward(empty_classifier(META), pack(make_table(4), np.arange(4), META), masks=masks)
    assert rates == [0.0 if masks is None else 0.1] * 4
