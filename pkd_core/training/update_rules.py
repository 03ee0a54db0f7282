"""Two ways of turning gradients into a step of Adam: today's AdamW, and the optimizer of the authors' code.

Both run torch's AdamW. Its bias correction divides the first moment by 1 - beta1^t and the second by 1 - beta2^t, which
are 1 for a large t: an optimizer that counts its steps from there is Adam without the correction.
"""

from typing import Protocol

import torch
from torch import Tensor

from pkd_core.config.settings import TrainingConfig

# Both powers are 0 in float32, and adding 1 to it changes nothing.
_BEHIND_ALL_CORRECTION = 1e8


class UpdateRule(Protocol):
    """How gradients are clipped, and what AdamW is given."""

    @property
    def epsilon(self) -> float:
        """AdamW's epsilon."""
        ...

    @property
    def first_step(self) -> float:
        """The number of steps from which AdamW counts on."""
        ...

    def clip(self, gradients: list[Tensor], max_norm: float) -> Tensor:
        """Scale gradients down in place, and return their global L2 norm before that, a scalar on the device."""
        ...


class AdamW:
    """Adam with bias correction, epsilon 1e-8 and a limit on the gradients' global norm."""

    epsilon = 1e-8
    first_step = 0.0

    def clip(self, gradients: list[Tensor], max_norm: float) -> Tensor:
        """Scale all gradients by one factor where their global norm is above `max_norm`."""
        norm = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_div_(gradients, (norm / max_norm).clamp(min=1.0))
        return norm


class BertAdam:
    """The authors' optimizer: Adam without bias correction, epsilon 1e-6, and a limit on each tensor's own norm.

    Without the correction, a step t is (1 - 0.9^t) / sqrt(1 - 0.999^t) times as long: 6.5 times at t = 10, 3.2 at 100.
    """

    epsilon = 1e-6
    first_step = _BEHIND_ALL_CORRECTION

    def clip(self, gradients: list[Tensor], max_norm: float) -> Tensor:
        """Scale each gradient whose norm is above `max_norm`."""
        norms = torch.stack(torch._foreach_norm(gradients))
        torch._foreach_div_(gradients, list(((norms + 1e-6) / max_norm).clamp(min=1.0).unbind()))
        norm: Tensor = torch.linalg.vector_norm(norms)
        return norm


def update_rule(settings: TrainingConfig) -> UpdateRule:
    """Return the rule that the settings name."""
    return BertAdam() if settings.optimizer == "bert-adam" else AdamW()
