"""Losses of batches in which some examples have no label: against the losses of the labelled and of the others."""

import pytest
import torch

from pkd_core.method.losses import (
    combine,
    cross_entropy_loss,
    distillation_loss,
    squared_error_loss,
)
from pkd_core.method.partly_labelled import partly_labelled_losses
from pkd_core.method.several_labels import binary_cross_entropies, softened_label_divergences
from pkd_core.method.soft_losses import softened_divergences, squared_logit_errors

STUDENT = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
TEACHER = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


@pytest.mark.parametrize("reduction", ["element_mean", "batch_mean"])
def test_with_all_labels_it_is_the_loss_of_the_paper(reduction: str) -> None:
    patience = torch.tensor(0.25)
    soft_B = softened_divergences(STUDENT, TEACHER, 4.0, reduction)
    found = partly_labelled_losses(STUDENT, LABELS, soft_B, patience, alpha=0.3, beta=2.0)
    hard, soft = cross_entropy_loss(STUDENT, LABELS), distillation_loss(STUDENT, TEACHER, 4.0, reduction)
    expected = combine(hard, soft, patience, alpha=0.3, beta=2.0)
    for name, value in expected.named().items():
        torch.testing.assert_close(found.named()[name], value)


def test_an_example_without_a_label_learns_from_the_teacher_alone() -> None:
    labels = torch.tensor([0, -1, 1, -1, -1, 2])
    soft_B = softened_divergences(STUDENT, TEACHER, 4.0, "batch_mean")
    found = partly_labelled_losses(STUDENT, labels, soft_B, alpha=0.3, beta=0.0)
    total = 0.0
    for row, label in enumerate(labels.tolist()):
        one = slice(row, row + 1)
        soft = distillation_loss(STUDENT[one], TEACHER[one], 4.0, "batch_mean").item()
        total += (
            soft if label < 0 else 0.7 * cross_entropy_loss(STUDENT[one], labels[one]).item() + 0.3 * soft
        )
    assert found.total.item() == pytest.approx(total / 6)
    assert found.cross_entropy.item() == pytest.approx(
        cross_entropy_loss(STUDENT[[0, 2, 5]], labels[[0, 2, 5]]).item()
    )
    assert found.distillation is not None
    assert found.distillation.item() == pytest.approx(
        distillation_loss(STUDENT, TEACHER, 4.0, "batch_mean").item()
    )


def test_a_batch_without_any_label_is_the_soft_loss() -> None:
    soft_B = softened_divergences(STUDENT, TEACHER, 2.0, "element_mean")
    found = partly_labelled_losses(STUDENT, torch.full((6,), -1), soft_B, alpha=0.0, beta=0.0)
    torch.testing.assert_close(found.total, distillation_loss(STUDENT, TEACHER, 2.0, "element_mean"))
    assert found.cross_entropy.item() == 0.0


def test_a_missing_score_is_nan_and_reaches_no_gradient() -> None:
    student = STUDENT[:, :1].clone().requires_grad_()
    teacher, scores = TEACHER[:, :1], torch.tensor([1.0, float("nan"), -1.0, 0.5, float("nan"), 2.0])
    soft_B = squared_logit_errors(student, teacher, "element_mean")
    found = partly_labelled_losses(student, scores, soft_B, alpha=0.4, beta=0.0, is_regression=True)
    has_score = ~scores.isnan()
    hard = (student[:, 0] - scores)[has_score].square().sum()
    soft = (student[:, 0] - teacher[:, 0]).square()
    expected = (0.6 * hard + 0.4 * soft[has_score].sum() + soft[~has_score].sum()) / 6
    torch.testing.assert_close(found.total, expected)
    (gradient,) = torch.autograd.grad(found.total, student)
    assert gradient.isfinite().all()
    assert found.cross_entropy.item() == pytest.approx(
        squared_error_loss(student[has_score], scores[has_score]).item()
    )


def test_missing_labels_are_nan_and_reach_no_gradient() -> None:
    student = STUDENT.clone().requires_grad_()
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).repeat(3, 1)
    labels[[1, 4]] = float("nan")
    soft_B = softened_label_divergences(student, TEACHER, 3.0, "batch_mean")
    found = partly_labelled_losses(student, labels, soft_B, alpha=0.4, beta=0.0)
    rows = [0, 2, 3, 5]
    hard_B = binary_cross_entropies(student[rows], labels[rows])
    expected = (0.6 * hard_B.sum() + 0.4 * soft_B[rows].sum() + soft_B[[1, 4]].sum()) / 6
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.cross_entropy, hard_B.mean())
    (gradient,) = torch.autograd.grad(found.total, student)
    assert gradient.isfinite().all()
