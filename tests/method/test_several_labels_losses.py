"""Losses of several labels against their formulas in float64 numpy, and against those of tasks of two classes."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pkd_core.method.several_labels import binary_cross_entropies, softened_label_divergences
from pkd_core.method.soft_losses import softened_divergences


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 4.0, 20.0]))
@example(4, 1, 1615167, 20.0)
def test_the_losses_equal_their_formulas(
    num_examples: int, num_labels: int, seed: int, temperature: float
) -> None:
    generator = np.random.default_rng(seed)
    student, teacher = 4 * generator.standard_normal((2, num_examples, num_labels))
    labels = generator.integers(0, 2, (num_examples, num_labels))
    p = sigmoid(student)
    hard = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean(axis=1)
    found = binary_cross_entropies(torch.tensor(student), torch.tensor(labels, dtype=torch.float32))
    np.testing.assert_allclose(found, hard, rtol=1e-4, atol=1e-6)
    p, q = sigmoid(teacher / temperature), sigmoid(student / temperature)
    soft = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(axis=1) * temperature**2
    for reduction, part in (("batch_mean", 1.0), ("element_mean", 0.5)):
        divergences = softened_label_divergences(
            torch.tensor(student), torch.tensor(teacher), temperature, reduction
        )
        assert divergences.dtype == torch.float32
        np.testing.assert_allclose(divergences, part * soft, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("reduction", ["element_mean", "batch_mean"])
def test_one_label_is_a_task_of_two_classes(reduction: str) -> None:
    student, teacher = torch.tensor([[1.5], [-3.0]]), torch.tensor([[-0.5], [2.0]])
    two = [torch.cat([torch.zeros(2, 1), logits], dim=1) for logits in (student, teacher)]
    torch.testing.assert_close(
        softened_label_divergences(student, teacher, 2.5, reduction),
        softened_divergences(*two, 2.5, reduction),
    )
    torch.testing.assert_close(
        binary_cross_entropies(student, torch.tensor([[1.0], [0.0]])),
        torch.nn.functional.cross_entropy(two[0], torch.tensor([1, 0]), reduction="none"),
    )


def test_certain_models_have_finite_losses_and_gradients() -> None:
    student = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = softened_label_divergences(student, torch.tensor([[-300.0, 300.0]]), 1.0, "batch_mean").sum()
    assert loss.item() == pytest.approx(200.0)
    (gradient,) = torch.autograd.grad(loss, student)
    torch.testing.assert_close(gradient, torch.tensor([[0.5, -0.5]]))


def test_the_teacher_gets_no_gradient_and_shapes_must_agree() -> None:
    teacher = torch.ones(1, 2, requires_grad=True)
    assert not softened_label_divergences(torch.zeros(1, 2), teacher, 2.0, "batch_mean").requires_grad
    with pytest.raises(ValueError, match="must agree in shape"):
        softened_label_divergences(torch.zeros(1, 2), torch.zeros(1, 3), 2.0, "batch_mean")
    with pytest.raises(ValueError, match="must agree in shape"):
        binary_cross_entropies(torch.zeros(1, 2), torch.zeros(1, 1))
