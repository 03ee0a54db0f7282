"""AdamW over a BERT's weights, one update of them, and the linear schedule of the learning rate."""

from math import ceil
from typing import Any

import torch
from torch import nn

from pkd_core.config.settings import TrainingConfig
from pkd_core.training.update_rules import UpdateRule

_MATRICES = 0  # position of their group


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


def update(
    optimizer: torch.optim.AdamW, rule: UpdateRule, step: int, learning_rate: float, settings: TrainingConfig
) -> torch.Tensor:
    """Clip the gradients, update the weights, and clear the gradients.

    Args:
        optimizer: As `make_optimizer` returned it, with a gradient on each weight to update.
        rule: How the gradients are clipped, and what AdamW is given.
        step: The optimizer step, from 1.
        learning_rate: Of this step.
        settings: Give the gradients' limit and the weight decay.

    Returns:
        The gradients' global L2 norm before clipping, a scalar on the device.
    """
    values = rule.values_at(step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * values.rate_factor
        group["eps"] = values.epsilon
    optimizer.param_groups[_MATRICES]["weight_decay"] = settings.weight_decay * values.decay_factor
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    norm = rule.clip([weight.grad for weight in weights if weight.grad is not None], settings.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
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
