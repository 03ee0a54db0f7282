"""AdamW over a BERT's weights, one update of them, and the linear schedule of the learning rate."""

from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from pkd_core.config.settings import TrainingConfig
from pkd_core.training.update_rules import UpdateRule


def make_optimizer(
    model: nn.Module, settings: TrainingConfig, rule: UpdateRule, device: torch.device
) -> torch.optim.AdamW:
    """Return AdamW over the model's weights, with weight decay on matrices only.

    In a BERT the vectors are the biases and LayerNorm's weights; everything else is a matrix. On CUDA its rate is a
    tensor, so that a captured update takes each step's own.
    """
    parameters, on_cuda = list(model.parameters()), device.type == "cuda"
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in parameters if weight.ndim > 1]},
        {"params": [weight for weight in parameters if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        eps=rule.epsilon,
        weight_decay=settings.weight_decay,
        fused=on_cuda or device.type == "cpu",
        capturable=on_cuda,
    )
    for weight in parameters:
        counter_device = weight.device if on_cuda else None
        optimizer.state[weight] = {
            "step": torch.tensor(rule.first_step, dtype=torch.float32, device=counter_device),
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": torch.zeros_like(weight),
        }
    return optimizer


def set_learning_rate(optimizer: torch.optim.AdamW, learning_rate: float | Tensor) -> None:
    """Let the next update move the weights at this rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def update(optimizer: torch.optim.AdamW, rule: UpdateRule, max_norm: float) -> Tensor:
    """Clip the gradients and update the weights.

    Args:
        optimizer: As `make_optimizer` returned it, with a gradient on each weight to update.
        rule: How the gradients are clipped.
        max_norm: The gradients' limit.

    Returns:
        The gradients' global L2 norm before clipping, a scalar on the device.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    norm = rule.clip([weight.grad for weight in weights if weight.grad is not None], max_norm)
    optimizer.step()
    return norm


def learning_rate_at(step: int, num_examples: int, settings: TrainingConfig) -> float:
    """Return the learning rate of an optimizer step: linear warm-up from 0, then linear decay towards 0.

    Args:
        step: The step, from 1.
        num_examples: Examples of an epoch.
        settings: Give the peak learning rate, the batch size, the epochs, and the fraction of steps that warm up.

    Example:
        >>> settings = TrainingConfig(learning_rate=1.0, num_epochs=4, warmup_fraction=0.5)
        >>> [learning_rate_at(step, 32, settings) for step in (1, 2, 3, 4)]
        [0.0, 0.5, 1.0, 0.5]
    """
    rate, steps_before = settings.learning_rate, step - 1
    if settings.schedule == "full-batches":
        # Of a data set smaller than a batch, the authors' code would divide by 0.
        num_steps = settings.num_epochs * max(num_examples // settings.batch_size, 1)
        num_warmup_steps = settings.warmup_fraction * num_steps
    else:
        num_steps = settings.num_epochs * ceil(num_examples / settings.batch_size)
        num_warmup_steps = round(settings.warmup_fraction * num_steps)
    if steps_before < num_warmup_steps:
        return rate * steps_before / num_warmup_steps
    # Where the count is of full batches, the last steps of a training lie behind its end.
    return rate * max(num_steps - steps_before, 0) / max(num_steps - num_warmup_steps, 1e-9)
