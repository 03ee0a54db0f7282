"""AdamW with gradient clipping and a linear schedule, as BERT's authors fine-tune it."""

from typing import Any

import torch
from torch import nn

from pkd_core.config.settings import TrainingConfig


def make_optimizer(model: nn.Module, settings: TrainingConfig, device: torch.device) -> torch.optim.AdamW:
    """Return AdamW over the model's weights, with weight decay on matrices only.

    In a BERT the vectors are the biases and LayerNorm's weights; everything else is a matrix.
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
    """Clip the gradients' global L2 norm, update the weights, and clear the gradients.

    Args:
        optimizer: AdamW, with a gradient on each weight to update.
        max_norm: Larger gradients are scaled down to this norm.

    Returns:
        The norm before clipping, a scalar on the device.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    torch._foreach_div_(gradients, (norm / max_norm).clamp(min=1.0))
    optimizer.step()
    optimizer.zero_grad()
    return norm


def learning_rate_at(step: int, num_steps: int, settings: TrainingConfig) -> float:
    """Return the learning rate of an optimizer step: linear warm-up from 0, then linear decay towards 0.

    Args:
        step: The step, from 1 to `num_steps`.
        num_steps: Steps of the complete training.
        settings: Give the peak learning rate and the fraction of steps that warm up.

    Example:
        >>> settings = TrainingConfig(learning_rate=1.0, warmup_fraction=0.5)
        >>> [learning_rate_at(step, 4, settings) for step in (1, 2, 3, 4)]
        [0.0, 0.5, 1.0, 0.5]
    """
    num_warmup_steps = round(settings.warmup_fraction * num_steps)
    steps_before = step - 1
    if steps_before < num_warmup_steps:
        return settings.learning_rate * steps_before / num_warmup_steps
    return settings.learning_rate * (num_steps - steps_before) / (num_steps - num_warmup_steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every weight, from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
