"""The loss that a training minimizes: of the labels alone, or of labels and teacher states.

Shape suffixes: B batch, C classes, M matched layers, D hidden size, N layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from pkd_core.config.distill_settings import DistillationLoss
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
    with_heads,
)
from pkd_core.method.partly_labelled import partly_labelled_losses
from pkd_core.method.several_labels import binary_cross_entropies, softened_label_divergences
from pkd_core.method.soft_losses import decoupled_divergences, softened_divergences, squared_logit_errors
from pkd_core.model.forward import Outputs
from pkd_core.teacher_states.reader import TeacherStates, TeacherTargets
from pkd_core.teacher_states.source import TeacherSource, open_teacher_source
from pkd_core.training.heads import Heads
from pkd_core.training.projections import Projections
from pkd_core.training.score_scale import ScoreScale


@dataclass(frozen=True, kw_only=True)
class Objective:
    """How a student learns from a teacher: L = (1 - alpha) L_CE + alpha L_DS + beta L_PT; by default without L_PT.

    Attributes:
        alpha: Weight of the soft loss L_DS.
        temperature: T of L_DS; unused for a regression task.
        distillation_reduction: How L_DS is averaged.
        distillation_loss: What L_DS is; unused for a regression task.
        dkd_target_weight: With "dkd", weight of the target class against all others.
        dkd_other_weight: With "dkd", weight of the other classes among themselves.
        teacher_states: The teacher's stored logits and [CLS] states of every training example.
        beta: Weight of the patience loss L_PT; with 0, no [CLS] states are read.
        normalize: Whether L_PT scales [CLS] states to unit length first.
        patience_reduction: How L_PT is averaged.
        layer_map: Matched layers, as 1-based (student, teacher) pairs; may be empty where beta is 0.
        has_unlabelled: Whether some examples have no label, and learn from the teacher alone.
        heads: Classifiers of the student's inner layers, which learn as its own does; None without.
        head_weight: Weight of the heads' mean loss; the student's own loss has the rest.
        projections: Of the student's [CLS] states to the teacher's hidden size; None where the sizes are equal.
        score_scale: How the labels' scores are standardised, and thus the teacher's; None if they are not.
    """

    alpha: float
    temperature: float
    distillation_reduction: Reduction
    teacher_states: TeacherStates
    distillation_loss: DistillationLoss = "kl"
    dkd_target_weight: float = 1.0
    dkd_other_weight: float = 8.0
    beta: float = 0.0
    normalize: bool = True
    patience_reduction: Reduction = "element_mean"
    layer_map: LayerMap = ()
    has_unlabelled: bool = False
    heads: Heads | None = None
    head_weight: float = 0.5
    projections: Projections | None = None
    score_scale: ScoreScale | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns beside the student, and is dropped with the training."""
        modules = {"heads": self.heads, "projections": self.projections}
        return {name: module for name, module in modules.items() if module is not None}

    @property
    def matched_layers(self) -> LayerMap:
        """The layer pairs of the patience loss; none if beta is 0."""
        return self.layer_map if self.beta else ()

    def teacher_logits(self, targets: TeacherTargets) -> Tensor:
        """Return the teacher's logits as the student is to learn them, shape (B, C)."""
        return (
            targets.logits_BC
            if self.score_scale is None
            else self.score_scale.standardized(targets.logits_BC)
        )

    def teacher_source(self, device: torch.device) -> TeacherSource:
        """Return the source of the teacher's targets at the matched layers, on a device."""
        layers = [teacher for _, teacher in self.matched_layers]
        return open_teacher_source(self.teacher_states, layers, device)

    def _fits(self, hidden_size: int, num_choices: int) -> bool:
        sizes = (hidden_size, self.teacher_states.shape.hidden_size // num_choices)
        if self.projections is None:
            return sizes[0] == sizes[1]
        return sizes == (self.projections.student_size, self.projections.teacher_size)

    def check(self, model: BertForSequenceClassification, num_choices: int = 1) -> None:
        """Check that a student can be compared with the stored states, of examples of so many sequences each.

        Raises:
            ModelError: If outputs or hidden sizes differ, or a matched layer does not exist.
        """
        shape, config = self.teacher_states.shape, model.config
        num_outputs = model.classifier.out_features * num_choices
        if num_outputs != shape.num_outputs:
            raise ModelError(
                f"expected a student with the teacher's {shape.num_outputs} outputs, got {num_outputs}; "
                "train teacher and student on the same task"
            )
        if self.matched_layers and not self._fits(config.hidden_size, num_choices):
            raise ModelError(
                f"expected a student with the teacher's hidden size {shape.hidden_size} or projections to it, got "
                f"{config.hidden_size}; take both from one pretrained model, or set distill.beta=0"
            )
        for student, teacher in self.matched_layers:
            if not (1 <= student <= config.num_hidden_layers and 1 <= teacher <= shape.num_layers):
                raise ModelError(
                    f"expected matched layers up to ({config.num_hidden_layers}, {shape.num_layers}), got "
                    f"({student}, {teacher}); build the layer map for these depths"
                )


def batch_losses(
    outputs: Outputs,
    labels_B: Tensor,
    teacher: TeacherTargets | None,
    objective: Objective | None,
    is_regression: bool,
) -> LossParts:
    """Return a batch's losses in float32.

    Args:
        outputs: The student's logits and [CLS] states.
        labels_B: Class positions or scores, shape (B,); of several labels, 0 or 1 for each, shape (B, C). A missing one
            is -1 or nan.
        teacher: The teacher's targets of the same examples at the matched layers; None for plain fine-tuning.
        objective: The weights and reductions; None for plain fine-tuning.
        is_regression: Whether labels are scores.
    """
    if objective is None or teacher is None:
        return combine(_hard_loss(outputs.logits_BC, labels_B, is_regression))
    patience = _patience(outputs, teacher, objective) if objective.matched_layers else None
    teacher_BC = objective.teacher_logits(teacher)
    parts = _distilled(outputs.logits_BC, labels_B, teacher_BC, objective, is_regression, patience)
    if objective.heads is None:
        return parts
    of_heads = [
        _distilled(logits_BC, labels_B, teacher_BC, objective, is_regression).total
        for logits_BC in objective.heads(outputs.cls_states_BND)
    ]
    return with_heads(parts, of_heads, objective.head_weight)


def _hard_loss(student_BC: Tensor, labels_B: Tensor, is_regression: bool) -> Tensor:
    """Return the mean of L_CE."""
    if labels_B.ndim == 2:
        return binary_cross_entropies(student_BC, labels_B).mean()
    return (squared_error_loss if is_regression else cross_entropy_loss)(student_BC, labels_B)


def _distilled(
    student_BC: Tensor,
    labels_B: Tensor,
    teacher_BC: Tensor,
    objective: Objective,
    is_regression: bool,
    patience: Tensor | None = None,
) -> LossParts:
    """Return the losses of logits with the labels and with the teacher's logits; beta is 0 without `patience`."""
    beta = 0.0 if patience is None else objective.beta
    if objective.has_unlabelled:
        soft_B = _soft_losses(student_BC, labels_B, teacher_BC, objective, is_regression)
        return partly_labelled_losses(
            student_BC,
            labels_B,
            soft_B,
            patience,
            alpha=objective.alpha,
            beta=beta,
            is_regression=is_regression,
        )
    hard = _hard_loss(student_BC, labels_B, is_regression)
    soft = _soft_loss(student_BC, labels_B, teacher_BC, objective, is_regression)
    return combine(hard, soft, patience, alpha=objective.alpha, beta=beta)


def _soft_loss(
    student_BC: Tensor, labels_B: Tensor, teacher_BC: Tensor, objective: Objective, is_regression: bool
) -> Tensor:
    """Return the mean of L_DS."""
    if is_regression:
        return squared_error_loss(student_BC, teacher_BC)
    if objective.distillation_loss == "kl" and labels_B.ndim == 1:
        return distillation_loss(
            student_BC, teacher_BC, objective.temperature, objective.distillation_reduction
        )
    return _soft_losses(student_BC, labels_B, teacher_BC, objective, is_regression).mean()


def _soft_losses(
    student_BC: Tensor, labels_B: Tensor, teacher_BC: Tensor, objective: Objective, is_regression: bool
) -> Tensor:
    """Return L_DS of each example, shape (B,)."""
    reduction = objective.distillation_reduction
    if is_regression or objective.distillation_loss == "logits-mse":
        return squared_logit_errors(student_BC, teacher_BC, reduction)
    if objective.distillation_loss == "kl":
        divergences = softened_label_divergences if labels_B.ndim == 2 else softened_divergences
        return divergences(student_BC, teacher_BC, objective.temperature, reduction)
    return decoupled_divergences(
        student_BC,
        teacher_BC,
        # Without a label, the class that the teacher prefers.
        torch.where(labels_B >= 0, labels_B, teacher_BC.argmax(-1)),
        temperature=objective.temperature,
        target_weight=objective.dkd_target_weight,
        other_weight=objective.dkd_other_weight,
        reduction=reduction,
    )


def _patience(outputs: Outputs, teacher: TeacherTargets, objective: Objective) -> Tensor:
    # Layer by layer: indexing with a list would copy it to the GPU, and wait.
    matched = [outputs.cls_states_BND.select(1, student - 1) for student, _ in objective.matched_layers]
    project = objective.projections
    return patience_loss(
        torch.stack(matched, dim=1) if project is None else project(matched),
        teacher.cls_states_BMD,
        objective.normalize,
        objective.patience_reduction,
    )
