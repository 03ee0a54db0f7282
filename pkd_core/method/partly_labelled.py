"""The loss of batches in which some examples have no label, and learn from the teacher alone.

Shapes: B examples, C classes.
"""

from torch import Tensor
from torch.nn import functional

from pkd_core.method.losses import LossParts
from pkd_core.method.several_labels import binary_cross_entropies


def partly_labelled_losses(
    student_logits_BC: Tensor,
    labels_B: Tensor,
    soft_B: Tensor,
    patience: Tensor | None = None,
    *,
    alpha: float,
    beta: float,
    is_regression: bool = False,
) -> LossParts:
    """Return the losses of a batch in which some examples have no label: alpha is 1 for those.

    Where every example has one, it is `combine` of `cross_entropy_loss` (for a regression, `squared_error_loss`) and
    the mean soft loss.

    Args:
        student_logits_BC: Student logits, shape (B, C).
        labels_B: Class positions, with -1 for a missing one; or scores, with nan; or 0 and 1 for each of several
            labels, shape (B, C), with nan.
        soft_B: Loss with the teacher's logits of each example, shape (B,).
        patience: Loss with the teacher's [CLS] states of all examples; None requires beta = 0.
        alpha: Weight of the soft loss of an example with a label.
        beta: Weight of the patience loss.
        is_regression: Whether labels are scores.
    """
    is_labelled_B, hard_B = _hard_losses(student_logits_BC.float(), labels_B, is_regression)
    labelled_B = is_labelled_B.float()
    weighted_B = (1 - alpha) * labelled_B * hard_B + (1 - (1 - alpha) * labelled_B) * soft_B
    cross_entropy = (labelled_B * hard_B).sum() / labelled_B.sum().clamp(min=1)
    total = weighted_B.mean()
    if patience is not None:
        total = total + beta * patience
    return LossParts(total, cross_entropy, soft_B.mean(), patience)


def _hard_losses(student_BC: Tensor, labels_B: Tensor, is_regression: bool) -> tuple[Tensor, Tensor]:
    """Return which examples have a label, and each one's loss with it; that of the others means nothing."""
    if labels_B.ndim == 2:
        return ~labels_B[:, 0].isnan(), binary_cross_entropies(student_BC, labels_B.nan_to_num())
    if is_regression:
        return ~labels_B.isnan(), (student_BC[:, 0] - labels_B.nan_to_num()).square()
    return labels_B >= 0, functional.cross_entropy(student_BC, labels_B.clamp(min=0), reduction="none")
