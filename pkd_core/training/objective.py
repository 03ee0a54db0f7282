"""What a training minimises on a batch: the labels' loss alone, or with a teacher's stored states."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.errors import ModelError
from pkd_core.method.layer_map import LayerMap
from pkd_core.method.losses import (
    LossParts,
    Reduction,
    combine,
    cross_entropy_loss,
    distillation_loss,
    patience_loss,
    squared_error_loss,
)
from pkd_core.model.forward import Outputs
from pkd_core.teacher_states.reader import TeacherStates, TeacherTargets
from pkd_core.teacher_states.source import TeacherSource, open_teacher_source


@dataclass(frozen=True)
class Objective:
    """How a student learns from a teacher: L = (1 - alpha) L_CE + alpha L_DS + beta L_PT.

    Attributes:
        alpha: Weight of the soft loss L_DS.
        temperature: T of L_DS; without effect on a regression task.
        beta: Weight of the patience loss L_PT; with 0, no [CLS] state is read.
        normalize: Whether [CLS] states are scaled to unit length first.
        distillation_reduction: What L_DS is divided by.
        patience_reduction: What L_PT is divided by.
        layer_map: Matched layers, as 1-based (student, teacher) pairs; may be empty if beta is 0.
        teacher_states: The teacher's logits and states of every training example.
    """

    alpha: float
    temperature: float
    beta: float
    normalize: bool
    distillation_reduction: Reduction
    patience_reduction: Reduction
    layer_map: LayerMap
    teacher_states: TeacherStates

    @property
    def matched_layers(self) -> LayerMap:
        """The pairs that have a say in the loss: none if beta is 0."""
        return self.layer_map if self.beta else ()

    def teacher(self, device: torch.device) -> TeacherSource:
        """Return who tells what the teacher said at the matched layers, on a device."""
        return open_teacher_source(
            self.teacher_states, [teacher for _, teacher in self.matched_layers], device
        )

    def check(self, model: BertForSequenceClassification) -> None:
        """Refuse a student that cannot be compared with the stored states.

        Raises:
            ModelError: If outputs or hidden sizes differ, or a matched layer does not exist.
        """
        shape, config = self.teacher_states.shape, model.config
        if config.num_labels != shape.num_outputs:
            raise ModelError(
                f"expected a student with the teacher's {shape.num_outputs} outputs, got {config.num_labels}; "
                "train the teacher on the same task"
            )
        if self.matched_layers and config.hidden_size != shape.hidden_size:
            raise ModelError(
                f"expected a student with the teacher's hidden size {shape.hidden_size}, got "
                f"{config.hidden_size}; take both from one pretrained model, or set distill.beta=0"
            )
        for student, teacher in self.matched_layers:
            if not (1 <= student <= config.num_hidden_layers and 1 <= teacher <= shape.num_layers):
                raise ModelError(
                    f"expected matched layers up to ({config.num_hidden_layers}, {shape.num_layers}), got "
                    f"({student}, {teacher}); make the layer map for these depths"
                )


def batch_losses(
    outputs: Outputs,
    labels_B: Tensor,
    teacher: TeacherTargets | None,
    objective: Objective | None,
    is_regression: bool,
) -> LossParts:
    """Return a batch's losses, in float32.

    Args:
        outputs: What the model says.
        labels_B: Class positions or scores.
        teacher: What the teacher says of the same examples, at the matched layers.
        objective: How both count; None for plain fine-tuning.
        is_regression: Whether labels are scores.
    """
    hard_loss = squared_error_loss if is_regression else cross_entropy_loss
    cross_entropy = hard_loss(outputs.logits_BC, labels_B)
    if objective is None or teacher is None:
        return combine(cross_entropy)
    return combine(
        cross_entropy,
        _distillation(outputs, teacher, objective, is_regression),
        _patience(outputs, teacher, objective) if objective.matched_layers else None,
        alpha=objective.alpha,
        beta=objective.beta,
    )


def _distillation(
    outputs: Outputs, part: TeacherTargets, objective: Objective, is_regression: bool
) -> Tensor:
    if is_regression:
        return squared_error_loss(outputs.logits_BC, part.logits_BC)
    return distillation_loss(
        outputs.logits_BC, part.logits_BC, objective.temperature, objective.distillation_reduction
    )


def _patience(outputs: Outputs, part: TeacherTargets, objective: Objective) -> Tensor:
    # One layer after the other: indexing with a list would send it to the GPU, and wait.
    matched = [outputs.cls_states_BND.select(1, student - 1) for student, _ in objective.matched_layers]
    return patience_loss(
        torch.stack(matched, dim=1),
        part.cls_states_BMD,
        objective.normalize,
        objective.patience_reduction,
    )
