"""Two ways of turning gradients into a step of Adam: today's AdamW, and the optimizer of the authors' code.

Both run torch's AdamW. Its bias correction divides the first moment by 1 - beta1^t and the second by 1 - beta2^t, which
is the same as another learning rate, epsilon and weight decay at each step t: with those, it is Adam without it.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import torch
from torch import Tensor

from pkd_core.config.settings import TrainingConfig

_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class StepValues:
    """What AdamW is given for one step: factors of learning rate and weight decay, and epsilon."""

    rate_factor: float
    decay_factor: float
    epsilon: float


class UpdateRule(Protocol):
    """How gradients are clipped, and what AdamW is given for each step."""

    def values_at(self, step: int) -> StepValues:
        """Return the values of an optimizer step, from 1."""
        ...

    def clip(self, gradients: list[Tensor], max_norm: float) -> Tensor:
        """Scale gradients down in place, and return their global L2 norm before that, a scalar on the device."""
        ...


class AdamW:
    """Adam with bias correction, epsilon 1e-8 and a limit on the gradients' global norm."""

    def values_at(self, step: int) -> StepValues:
        """Return torch's defaults."""
        return StepValues(1.0, 1.0, 1e-8)

    def clip(self, gradients: list[Tensor], max_norm: float) -> Tensor:
        """Scale all gradients by one factor where their global norm is above `max_norm`."""
        norm = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_div_(gradients, (norm / max_norm).clamp(min=1.0))
        return norm


class BertAdam:
    """The authors' optimizer: Adam without bias correction, epsilon 1e-6, and a limit on each tensor's own norm.

    Without the correction, a step t is (1 - 0.9^t) / sqrt(1 - 0.999^t) times as long: 6.5 times at t = 10, 3.2 at 100.
    """

    def values_at(self, step: int) -> StepValues:
        """Return the values with which AdamW's bias correction cancels out."""
        first, second = (1.0 - beta**step for beta in _BETAS)
        factor = first / sqrt(second)
        return StepValues(factor, 1.0 / factor, 1e-6 / sqrt(second))

    def clip(self, gradients: list[Tensor], max_norm: float) -> Tensor:
        """Scale each gradient whose norm is above `max_norm`."""
        norms = torch.stack(torch._foreach_norm(gradients))
        torch._foreach_div_(gradients, list(((norms + 1e-6) / max_norm).clamp(min=1.0).unbind()))
        norm: Tensor = torch.linalg.vector_norm(norms)
        return norm


def update_rule(settings: TrainingConfig) -> UpdateRule:
    """Return the rule that the settings name."""
    return BertAdam() if settings.optimizer == "bert-adam" else AdamW()
