"""One optimizer step: the gradients of its micro-batches, then an update of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.method.losses import LossParts
from pkd_core.model.dropout import KeepMasks, exclusive_generator, make_masks
from pkd_core.model.forward import forward
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.training.batches import MicroBatch, StepBatch
from pkd_core.training.objective import Objective, batch_losses
from pkd_core.training.optimizer import set_learning_rate, update
from pkd_core.training.update_rules import UpdateRule


@dataclass(frozen=True)
class StepLosses:
    """The losses of one optimizer step.

    Attributes:
        means: The batch's mean losses by name, such as "total"; scalars on the device.
        gradient_norm: Global norm before clipping; a scalar on the device.
    """

    means: Mapping[str, Tensor]
    gradient_norm: Tensor


class Steps(Protocol):
    """Computes optimizer steps, one after the other."""

    def run(self, batch: StepBatch, learning_rate: float) -> StepLosses:
        """Move the weights by one step."""
        ...


@dataclass(frozen=True)
class Learner:
    """A model on a device, and how it learns.

    Attributes:
        model: The student, or a teacher that is fine-tuned.
        objective: How to learn from a teacher; None for plain fine-tuning.
        is_regression: Whether labels are scores.
        optimizer: Holds the weights to move.
        rule: How their gradients are clipped.
        max_grad_norm: The gradients' limit.
        dtype: Dtype of the forward and backward passes.
        device: Where to compute.
        group: Who computes the micro-batches of a step.
    """

    model: BertForSequenceClassification
    objective: Objective | None
    is_regression: bool
    optimizer: torch.optim.AdamW
    rule: UpdateRule
    max_grad_norm: float
    dtype: torch.dtype
    device: torch.device
    group: Group = ONE_PROCESS

    def losses(
        self, micro: MicroBatch, masks: KeepMasks, model: BertForSequenceClassification | None = None
    ) -> LossParts:
        """Return a micro-batch's mean losses, of `model` or else of the learner's own model."""
        labels_B = micro.batch.labels_B
        assert labels_B is not None, "training needs labels"
        outputs = forward(model or self.model, micro.batch, self.dtype, masks)
        return batch_losses(outputs, labels_B, micro.teacher, self.objective, self.is_regression)

    def gradients(self) -> list[Tensor]:
        """Return the gradient of each weight that has one, in the same order in every process."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        return [weight.grad for weight in weights if weight.grad is not None]


@dataclass(frozen=True)
class EagerSteps:
    """Steps whose operations torch runs one by one, as on a CPU."""

    learner: Learner

    def run(self, batch: StepBatch, learning_rate: float) -> StepLosses:
        """Accumulate the gradients of the micro-batches, and move the weights."""
        with exclusive_generator(self.learner.device):
            return self._run(batch, learning_rate)

    def _run(self, batch: StepBatch, learning_rate: float) -> StepLosses:
        learner = self.learner
        means: dict[str, Tensor] = {}
        for micro in batch.micro_batches:
            losses = learner.losses(micro, make_masks(learner.device, *micro.mask_seeds))
            torch.autograd.backward(losses.total * micro.fraction)
            for name, value in losses.named().items():
                means[name] = means.get(name, 0.0) + value.detach() * micro.fraction
        if learner.group.size > 1:
            learner.group.add_up([*learner.gradients(), *means.values()])
        set_learning_rate(learner.optimizer, learning_rate)
        norm = update(learner.optimizer, learner.rule, learner.max_grad_norm)
        learner.optimizer.zero_grad()
        return StepLosses(means, norm)
