"""Distances between a student's logits and its teacher's, one for each example: what L_DS is the mean of.

Shapes: B examples, C classes.
"""

import torch
from torch import Tensor
from torch.nn import functional

from pkd_core.method.losses import Reduction, check_same_shape


def softened_divergences(
    student_logits_BC: Tensor, teacher_logits_BC: Tensor, temperature: float, reduction: Reduction
) -> Tensor:
    """Return KL(teacher || student) of the classes softened by temperature, times T^2, of each example.

    Args:
        student_logits_BC: Student logits, shape (B, C).
        teacher_logits_BC: Teacher logits, shape (B, C); detached here.
        temperature: T; both logits are divided by it before the softmax.
        reduction: "element_mean" divides by C; "batch_mean" does not.

    Returns:
        Shape (B,), float32 whatever the inputs' dtype.

    Raises:
        ValueError: The shapes differ.
    """
    student_log_BC, teacher_log_BC = _log_softmax(student_logits_BC, teacher_logits_BC, temperature)
    divergence_BC = functional.kl_div(student_log_BC, teacher_log_BC, reduction="none", log_target=True)
    return temperature**2 * _over_classes(divergence_BC, reduction)


def squared_logit_errors(
    student_logits_BC: Tensor, teacher_logits_BC: Tensor, reduction: Reduction
) -> Tensor:
    """Return the squared distance of the logits of each example (Ba and Caruana 2014, arXiv 1312.6184).

    >>> squared_logit_errors(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), "batch_mean")
    tensor([5.])

    Args:
        student_logits_BC: Student logits, shape (B, C).
        teacher_logits_BC: Teacher logits, shape (B, C); detached here.
        reduction: "element_mean" divides by C; "batch_mean" does not.

    Returns:
        Shape (B,), float32 whatever the inputs' dtype.

    Raises:
        ValueError: The shapes differ.
    """
    check_same_shape(student_logits_BC, teacher_logits_BC)
    return _over_classes((student_logits_BC.float() - teacher_logits_BC.detach().float()).square(), reduction)


def decoupled_divergences(
    student_logits_BC: Tensor,
    teacher_logits_BC: Tensor,
    targets_B: Tensor,
    *,
    temperature: float,
    target_weight: float,
    other_weight: float,
    reduction: Reduction,
) -> Tensor:
    """Return the decoupled distillation loss of each example (DKD, Zhao et al. 2022, arXiv 2203.08679).

    KL(teacher || student) is the sum of two parts: that of the target class against all others together, and that of
    the other classes among themselves, times the teacher's probability of these. Here both parts have weights of their
    own. With two classes, the second part is zero: nothing is left to compare among the others.

    >>> student_BC, teacher_BC = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.75, 0.25]]).log()
    >>> values = {"temperature": 1.0, "target_weight": 1.0, "other_weight": 8.0, "reduction": "batch_mean"}
    >>> decoupled = decoupled_divergences(student_BC, teacher_BC, torch.tensor([0]), **values)
    >>> torch.allclose(decoupled, softened_divergences(student_BC, teacher_BC, 1.0, "batch_mean"))
    True

    Args:
        student_logits_BC: Student logits, shape (B, C).
        teacher_logits_BC: Teacher logits, shape (B, C); detached here.
        targets_B: The target class of each example, int64.
        temperature: T; both logits are divided by it before the softmax, and the loss is multiplied by T^2.
        target_weight: Weight of the target class against the others (alpha in that paper).
        other_weight: Weight of the others among themselves (beta in that paper).
        reduction: "element_mean" divides by C; "batch_mean", as in that paper, does not.

    Returns:
        Shape (B,), float32 whatever the inputs' dtype.

    Raises:
        ValueError: The shapes differ.
    """
    student_log_BC, teacher_log_BC = _log_softmax(student_logits_BC, teacher_logits_BC, temperature)
    classes = torch.arange(student_log_BC.shape[1], device=targets_B.device)
    is_target_BC = targets_B.unsqueeze(1) == classes
    student_target_B, student_rest_B, student_others_BC = _decouple(student_log_BC, is_target_BC)
    teacher_target_B, teacher_rest_B, teacher_others_BC = _decouple(teacher_log_BC, is_target_BC)
    target_part_B = teacher_target_B.exp() * (teacher_target_B - student_target_B)
    target_part_B = target_part_B + teacher_rest_B.exp() * (teacher_rest_B - student_rest_B)
    # At the target, both are minus infinity, and their difference is not a number.
    difference_BC = (teacher_others_BC - student_others_BC).masked_fill(is_target_BC, 0.0)
    other_part_B = (teacher_others_BC.exp() * difference_BC).sum(-1)
    loss_B = temperature**2 * (target_weight * target_part_B + other_weight * other_part_B)
    return loss_B / student_log_BC.shape[1] if reduction == "element_mean" else loss_B


def _decouple(log_BC: Tensor, is_target_BC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logarithms of the target's probability, of all others', and of each other's among these."""
    target_B = log_BC.masked_fill(is_target_BC.logical_not(), 0.0).sum(-1)
    others_BC = log_BC.masked_fill(is_target_BC, -torch.inf)
    # Not log(1 - p), which a confident model's rounding turns into minus infinity.
    rest_B = others_BC.logsumexp(-1)
    return target_B, rest_B, others_BC - rest_B.unsqueeze(1)


def _log_softmax(
    student_logits_BC: Tensor, teacher_logits_BC: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    check_same_shape(student_logits_BC, teacher_logits_BC)
    return (
        functional.log_softmax(student_logits_BC.float() / temperature, dim=-1),
        functional.log_softmax(teacher_logits_BC.detach().float() / temperature, dim=-1),
    )


def _over_classes(values_BC: Tensor, reduction: Reduction) -> Tensor:
    return values_BC.mean(-1) if reduction == "element_mean" else values_BC.sum(-1)
