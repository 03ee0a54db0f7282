"""The optimizer and its schedule, as BERT is fine-tuned by its authors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pkd_core.config.settings import TrainingConfig


def make_optimizer(model: nn.Module, settings: TrainingConfig, device: torch.device) -> torch.optim.AdamW:
    """Return AdamW over the model's weights, with weight decay on its matrices alone.

    Biases and LayerNorm's weights are the vectors of a BERT; everything else is a matrix.
    """
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in parameters if weight.ndim > 1]},
        {"params": [weight for weight in parameters if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def clipped_step(optimizer: torch.optim.AdamW, max_norm: float) -> torch.Tensor:
    """Make a step with the gradients' global L2 norm clipped, then forget them.

    The fused step divides the gradients by `grad_scale` as it reads them, which saves a pass over all of them.

    Args:
        optimizer: As `make_optimizer` returned it, with gradients on all weights that are to move.
        max_norm: The norm that larger gradients are scaled down to.

    Returns:
        The norm before clipping, a scalar on the device.
    """
    gradients = [
        weight.grad
        for group in optimizer.param_groups
        for weight in group["params"]
        if weight.grad is not None
    ]
    norm = torch.nn.utils.get_total_norm(gradients)
    if optimizer.defaults["fused"]:
        optimizer.grad_scale = (norm / max_norm).clamp(min=1.0)  # type: ignore[attr-defined]
    else:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
    optimizer.step()
    optimizer.zero_grad()
    return norm


def learning_rate_at(step: int, num_steps: int, settings: TrainingConfig) -> float:
    """Return the learning rate of an optimizer step: a linear climb from 0, then a linear fall towards 0.

    Args:
        step: The step, from 1 to `num_steps`.
        num_steps: Steps of the whole training.
        settings: Say the highest rate, and for which fraction of the steps it climbs.
    """
    num_warmup_steps = round(settings.warmup_fraction * num_steps)
    steps_before = step - 1
    if steps_before < num_warmup_steps:
        return settings.learning_rate * steps_before / num_warmup_steps
    return settings.learning_rate * (num_steps - steps_before) / (num_steps - num_warmup_steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use the learning rate for every weight from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def pack_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return a model's weights and its optimizer's state as one flat dictionary, to be written to a file."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
    return tensors


def unpack_tensors(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put back what `pack_tensors` returned for a model and an optimizer made in the same way."""
    weights: dict[str, Tensor] = {}
    states: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        kind, rest = path.split(".", 1)
        if kind == "model":
            weights[rest] = value
        else:
            number, name = rest.split(".", 1)
            states.setdefault(int(number), {})[name] = value
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
