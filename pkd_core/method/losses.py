"""The losses of Patient Knowledge Distillation (Sun et al. 2019, arXiv 1908.09355), with named reductions.

Every loss is computed in float32: half precision loses the small differences between teacher and student.

Shapes: B examples, C classes, M matched layers, D hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Reduction = Literal["batch_mean", "element_mean"]


@dataclass(frozen=True)
class LossParts:
    """A batch's total loss and its unweighted parts, float32 scalars; None for a part that was not computed."""

    total: Tensor
    cross_entropy: Tensor
    distillation: Tensor | None = None
    patience: Tensor | None = None
    heads: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """Return the losses that were computed, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def cross_entropy_loss(student_logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy of the logits with the hard labels, averaged over examples (L_CE).

    Args:
        student_logits_BC: Logits, shape (B, C).
        labels_B: Class positions, int64, shape (B,).

    Returns:
        Scalar, float32 whatever the logits' dtype.
    """
    return functional.cross_entropy(student_logits_BC.float(), labels_B)


def squared_error_loss(student_logits_B1: Tensor, targets_B: Tensor) -> Tensor:
    """Mean squared error, used for regression tasks as L_CE (with labels) and as L_DS (with teacher predictions).

    Args:
        student_logits_B1: Predictions, shape (B, 1).
        targets_B: Labels or the teacher's predictions, shape (B,) or (B, 1); detached here.

    Returns:
        Scalar, float32 whatever the inputs' dtype.

    Raises:
        ValueError: There is not one target for each prediction.
    """
    if student_logits_B1.shape[1:] != (1,) or targets_B.numel() != student_logits_B1.shape[0]:
        raise ValueError(
            f"squared error needs predictions (B, 1) and B targets, got {tuple(student_logits_B1.shape)} "
            f"and {tuple(targets_B.shape)}"
        )
    return functional.mse_loss(student_logits_B1.flatten().float(), targets_B.detach().flatten().float())


def distillation_loss(
    student_logits_BC: Tensor, teacher_logits_BC: Tensor, temperature: float, reduction: Reduction
) -> Tensor:
    """KL(teacher || student) of the classes softened by temperature, times T^2 (L_DS, arXiv 1503.02531).

    Two classes; at T = 2 the teacher's probabilities are (0.75, 0.25), the student's (0.5, 0.5):

    >>> import torch
    >>> student_logits_BC = torch.tensor([[0.0, 0.0]])
    >>> teacher_logits_BC = 2 * torch.tensor([[0.75, 0.25]]).log()
    >>> round(distillation_loss(student_logits_BC, teacher_logits_BC, 2.0, "batch_mean").item(), 4)
    0.5232

    Args:
        student_logits_BC: Student logits, shape (B, C).
        teacher_logits_BC: Teacher logits, shape (B, C); detached here.
        temperature: T; both logits are divided by it before the softmax.
        reduction: "element_mean" divides by B * C, as the authors' code does; "batch_mean" by B alone.

    Returns:
        Scalar, float32 whatever the inputs' dtype.

    Raises:
        ValueError: The shapes differ.
    """
    check_same_shape(student_logits_BC, teacher_logits_BC)
    student_log_BC = functional.log_softmax(student_logits_BC.float() / temperature, dim=-1)
    teacher_log_BC = functional.log_softmax(teacher_logits_BC.detach().float() / temperature, dim=-1)
    divergence_BC = functional.kl_div(student_log_BC, teacher_log_BC, reduction="none", log_target=True)
    return temperature**2 * _reduce(divergence_BC, reduction)


def patience_loss(
    student_cls_BMD: Tensor, teacher_cls_BMD: Tensor, normalize: bool, reduction: Reduction
) -> Tensor:
    """Squared distance between matched student and teacher [CLS] states (L_PT).

    >>> import torch
    >>> student_cls_BMD = torch.tensor([[[3.0, 4.0]]])
    >>> teacher_cls_BMD = torch.tensor([[[0.0, 1.0]]])
    >>> patience_loss(student_cls_BMD, teacher_cls_BMD, normalize=False, reduction="batch_mean")
    tensor(18.)
    >>> patience_loss(student_cls_BMD, teacher_cls_BMD, normalize=False, reduction="element_mean")
    tensor(9.)

    Args:
        student_cls_BMD: Student [CLS] hidden states, shape (B, M, D).
        teacher_cls_BMD: Teacher [CLS] hidden states, shape (B, M, D); detached here.
        normalize: Scale each state to unit L2 norm first.
        reduction: "element_mean" divides by B * M * D, as the authors' code does; "batch_mean" by B alone.

    Returns:
        Scalar, float32 whatever the inputs' dtype.

    Raises:
        ValueError: The shapes differ, or M is 0.
    """
    check_same_shape(student_cls_BMD, teacher_cls_BMD)
    if student_cls_BMD.shape[1] == 0:
        raise ValueError("the patience loss needs at least one matched layer, got none")
    student_BMD, teacher_BMD = student_cls_BMD.float(), teacher_cls_BMD.detach().float()
    if normalize:
        student_BMD = functional.normalize(student_BMD, dim=-1)
        teacher_BMD = functional.normalize(teacher_BMD, dim=-1)
    return _reduce((student_BMD - teacher_BMD).square(), reduction)


def combine(
    cross_entropy: Tensor,
    distillation: Tensor | None = None,
    patience: Tensor | None = None,
    *,
    alpha: float = 0.0,
    beta: float = 0.0,
) -> LossParts:
    """Return the weighted sum of the parts: (1 - alpha) * cross_entropy + alpha * distillation + beta * patience.

    Args:
        cross_entropy: Loss with the hard labels.
        distillation: Loss with the teacher's logits; None requires alpha = 0.
        patience: Loss with the teacher's [CLS] states; None requires beta = 0.
        alpha: Weight of the soft loss, from 0 to 1 (in some libraries, of the hard loss).
        beta: Weight of the patience loss, 0 or more; its scale depends on that loss's reduction.

    Returns:
        The total with its parts, unweighted.

    Raises:
        ValueError: A weight is not 0 while its part is None.
    """
    if (alpha and distillation is None) or (beta and patience is None):
        raise ValueError(
            f"a weight needs its loss, got alpha={alpha} and beta={beta} with a part that was not computed; "
            "pass that loss, or set its weight to 0"
        )
    total = (1 - alpha) * cross_entropy
    if distillation is not None:
        total = total + alpha * distillation
    if patience is not None:
        total = total + beta * patience
    return LossParts(total, cross_entropy, distillation, patience)


def with_heads(parts: LossParts, head_totals: Sequence[Tensor], weight: float) -> LossParts:
    """Return a student's losses with those of heads on its inner layers (kd.full of the authors' code).

    Args:
        parts: Losses of the student's own logits.
        head_totals: Total loss of each head's logits; at least one.
        weight: Weight of the heads' mean loss, from 0 to 1; the student's own total has the rest.
    """
    heads = torch.stack(tuple(head_totals)).mean()
    return replace(parts, total=(1 - weight) * parts.total + weight * heads, heads=heads)


def check_same_shape(student: Tensor, teacher: Tensor) -> None:
    """Raise ValueError unless both have the same shape."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher must agree in shape, got {tuple(student.shape)} and {tuple(teacher.shape)}"
        )


def _reduce(values: Tensor, reduction: Reduction) -> Tensor:
    match reduction:
        case "element_mean":
            return values.mean()
        case "batch_mean":
            return values.sum() / values.shape[0]
        case _:
            raise ValueError(f'reduction must be "batch_mean" or "element_mean", got {reduction!r}')
