"""The losses of a batch, by the objective that a student is trained with."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pkd_core.method.several_labels import softened_label_divergences
from pkd_core.method.soft_losses import decoupled_divergences, squared_logit_errors
from pkd_core.model.forward import Outputs
from pkd_core.teacher_states.reader import TeacherTargets
from pkd_core.training.objective import Objective, batch_losses

STUDENT, TEACHER = (torch.randn(5, 4, generator=torch.Generator().manual_seed(seed)) * 2 for seed in (1, 2))
LABELS = torch.tensor([3, -1, 0, -1, 1])
LABELLED = LABELS >= 0


def losses(labels_B: Tensor, **changes: Any) -> dict[str, Tensor]:
    values = {
        "alpha": 0.3,
        "temperature": 2.0,
        "distillation_reduction": "batch_mean",
        "teacher_states": None,
    }
    outputs = Outputs(STUDENT, torch.zeros(5, 1, 1))
    targets = TeacherTargets(TEACHER, torch.zeros(5, 0, 1))
    return batch_losses(
        outputs, labels_B, targets, Objective(**values | changes), is_regression=False
    ).named()


def expected_total(hard_B: Tensor, soft_B: Tensor) -> Tensor:
    return torch.where(LABELLED, 0.7 * hard_B + 0.3 * soft_B, soft_B).mean()


def test_without_a_label_the_decoupled_losses_target_is_the_class_that_the_teacher_prefers() -> None:
    found = losses(LABELS, distillation_loss="dkd", dkd_other_weight=3.0, has_unlabelled=True)
    soft_B = decoupled_divergences(
        STUDENT,
        TEACHER,
        torch.tensor([3, int(TEACHER[1].argmax()), 0, int(TEACHER[3].argmax()), 1]),
        temperature=2.0,
        target_weight=1.0,
        other_weight=3.0,
        reduction="batch_mean",
    )
    hard_B = -STUDENT.log_softmax(-1).gather(1, LABELS.clamp(min=0)[:, None])[:, 0]
    torch.testing.assert_close(found["distillation"], soft_B.mean())
    torch.testing.assert_close(found["total"], expected_total(hard_B, soft_B))


def test_the_squared_error_of_the_logits_needs_no_labels() -> None:
    found = losses(LABELS, distillation_loss="logits-mse", has_unlabelled=True)
    soft_B = squared_logit_errors(STUDENT, TEACHER, "batch_mean")
    torch.testing.assert_close(found["distillation"], soft_B.mean())
    hard_B = -STUDENT.log_softmax(-1).gather(1, LABELS.clamp(min=0)[:, None])[:, 0]
    torch.testing.assert_close(found["total"], expected_total(hard_B, soft_B))


@pytest.mark.parametrize("loss", ["kl", "logits-mse", "dkd"])
@pytest.mark.parametrize("reduction", ["element_mean", "batch_mean"])
def test_with_every_label_the_losses_do_not_depend_on_a_transfer_set(loss: str, reduction: str) -> None:
    labels, values = LABELS.clamp(min=0), {"distillation_loss": loss, "distillation_reduction": reduction}
    found, expected = losses(labels, has_unlabelled=True, **values), losses(labels, **values)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("reduction", ["element_mean", "batch_mean"])
def test_several_labels_have_the_losses_of_questions_with_two_answers(reduction: str) -> None:
    labels = torch.tensor([[1.0, 0.0, 0.0, 1.0]] * 5)
    labels[1] = 0.0
    hard = torch.nn.functional.binary_cross_entropy_with_logits(STUDENT, labels)
    soft = softened_label_divergences(STUDENT, TEACHER, 2.0, reduction).mean()
    for has_unlabelled in (False, True):
        found = losses(labels, distillation_reduction=reduction, has_unlabelled=has_unlabelled)
        torch.testing.assert_close(found["cross_entropy"], hard)
        torch.testing.assert_close(found["distillation"], soft)
        torch.testing.assert_close(found["total"], 0.7 * hard + 0.3 * soft)
    squared = losses(labels, distillation_reduction=reduction, distillation_loss="logits-mse")
    torch.testing.assert_close(
        squared["distillation"], squared_logit_errors(STUDENT, TEACHER, reduction).mean()
    )
    plain = batch_losses(Outputs(STUDENT, torch.zeros(5, 1, 1)), labels, None, None, is_regression=False)
    torch.testing.assert_close(plain.total, hard)
