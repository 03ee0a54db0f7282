"""Losses of examples that have any number of C labels: each label is a question of two answers, with one logit.

The probability of a label is the sigmoid of its logit. Shapes: B examples, C labels.
"""

from torch import Tensor
from torch.nn import functional

from pkd_core.method.losses import Reduction, check_same_shape


def binary_cross_entropies(student_logits_BC: Tensor, labels_BC: Tensor) -> Tensor:
    """Return each example's cross-entropy with its labels, averaged over the labels.

    >>> import torch
    >>> binary_cross_entropies(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([0.6931])

    Args:
        student_logits_BC: Logits, shape (B, C).
        labels_BC: 1 for a label that the example has, else 0; float32, shape (B, C).

    Returns:
        Shape (B,), float32 whatever the logits' dtype.

    Raises:
        ValueError: The shapes differ.
    """
    check_same_shape(student_logits_BC, labels_BC)
    return functional.binary_cross_entropy_with_logits(
        student_logits_BC.float(), labels_BC, reduction="none"
    ).mean(-1)


def softened_label_divergences(
    student_logits_BC: Tensor, teacher_logits_BC: Tensor, temperature: float, reduction: Reduction
) -> Tensor:
    """Return KL(teacher || student) of each label's two answers softened by temperature, times T^2, of each example.

    It is averaged over the labels, as the cross-entropy is, so that alpha weighs both alike whatever their number.

    One label; at T = 2 the teacher's probability of it is 0.75, the student's 0.5:

    >>> import torch
    >>> student_logits_BC, teacher_logits_BC = torch.tensor([[0.0]]), 2 * torch.tensor([[3.0]]).log()
    >>> softened_label_divergences(student_logits_BC, teacher_logits_BC, 2.0, "batch_mean")
    tensor([0.5232])

    Args:
        student_logits_BC: Student logits, shape (B, C).
        teacher_logits_BC: Teacher logits, shape (B, C); detached here.
        temperature: T; both logits are divided by it before the sigmoid.
        reduction: "element_mean" divides by the two answers of a label; "batch_mean" does not.

    Returns:
        Shape (B,), float32 whatever the inputs' dtype.

    Raises:
        ValueError: The shapes differ.
    """
    check_same_shape(student_logits_BC, teacher_logits_BC)
    # The two answers nearly cancel where student and teacher agree, and T^2 multiplies what rounding leaves.
    student_BC = student_logits_BC.double() / temperature
    teacher_BC = teacher_logits_BC.detach().double() / temperature
    divergence_BC = _expected_difference(student_BC, teacher_BC) + _expected_difference(
        -student_BC, -teacher_BC
    )
    answers = 2 if reduction == "element_mean" else 1
    return (temperature**2 * divergence_BC.mean(-1) / answers).float()


def _expected_difference(student_BC: Tensor, teacher_BC: Tensor) -> Tensor:
    """Return p (log p - log q) of the probabilities p of the teacher and q of the student."""
    teacher_log_BC = functional.logsigmoid(teacher_BC)
    return teacher_log_BC.exp() * (teacher_log_BC - functional.logsigmoid(student_BC))
