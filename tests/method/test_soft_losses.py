"""Losses with the teacher's logits against their formulas in float64, by value and by gradient."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pkd_core.method.losses import distillation_loss
from pkd_core.method.soft_losses import decoupled_divergences, softened_divergences, squared_logit_errors

shapes = st.tuples(st.integers(1, 5), st.integers(2, 6), st.integers(0, 2**32 - 1))
Array = np.ndarray


def logits(num_examples: int, num_classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the student's and the teacher's logits, and a target of each example."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(num_examples, num_classes, generator=generator) * 3 for _ in range(2))
    return student, teacher, torch.randint(num_classes, (num_examples,), generator=generator)


def softmax(values: Array, temperature: float) -> Array:
    scaled = np.exp((values - values.max()) / temperature)
    return scaled / scaled.sum()


def decoupled(
    student: Array, teacher: Array, target: int, temperature: float, weights: tuple[float, float]
) -> float:
    """Return the loss of one example as the paper writes it: of probabilities, with the other classes cut out."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    of_target = p[target] * math.log(p[target] / q[target])
    of_target += (1 - p[target]) * math.log((1 - p[target]) / (1 - q[target]))
    others = [position for position in range(len(p)) if position != target]
    p_others, q_others = softmax(teacher[others], temperature), softmax(student[others], temperature)
    of_others = sum(p_others * np.log(p_others / q_others))
    return float(temperature**2 * (weights[0] * of_target + weights[1] * of_others))


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([1.0, 4.0, 20.0]), st.sampled_from([(1.0, 8.0), (0.5, 0.0), (0.0, 2.0)]))
def test_the_decoupled_loss_equals_the_formula_in_float64(
    shape: tuple[int, int, int], temperature: float, weights: tuple[float, float]
) -> None:
    student, teacher, targets = logits(*shape)
    for reduction, divisor in (("batch_mean", 1), ("element_mean", shape[1])):
        found = decoupled_divergences(
            student,
            teacher,
            targets,
            temperature=temperature,
            target_weight=weights[0],
            other_weight=weights[1],
            reduction=reduction,
        )
        expected = [
            decoupled(s, t, target, temperature, weights) / divisor
            for s, t, target in zip(student.double().numpy(), teacher.double().numpy(), targets, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_the_decoupled_losses_gradient_is_that_of_finite_differences() -> None:
    student, teacher, targets = logits(4, 5, seed=3)
    student.requires_grad_()
    teacher.requires_grad_()
    weights, step = (1.5, 3.0), 1e-6
    decoupled_divergences(
        student,
        teacher,
        targets,
        temperature=2.0,
        target_weight=1.5,
        other_weight=3.0,
        reduction="batch_mean",
    ).sum().backward()
    s, t = student.detach().double().numpy(), teacher.detach().double().numpy()
    expected = np.zeros_like(s)
    for row, column in np.ndindex(*s.shape):
        moved = np.eye(5)[column] * step
        up, down = (decoupled(s[row] + sign * moved, t[row], targets[row], 2.0, weights) for sign in (1, -1))
        expected[row, column] = (up - down) / (2 * step)
    assert student.grad is not None
    np.testing.assert_allclose(student.grad, expected, rtol=1e-3, atol=1e-4)
    assert teacher.grad is None


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_weighted_by_the_teachers_probabilities_the_parts_add_up_to_the_divergence(num_classes: int) -> None:
    student, teacher, targets = logits(6, num_classes, seed=4)
    rest_B = 1 - (teacher / 3.0).softmax(-1).gather(1, targets[:, None])[:, 0]
    values = {"temperature": 3.0, "reduction": "batch_mean"}
    of_target, of_others = (
        decoupled_divergences(student, teacher, targets, target_weight=one, other_weight=other, **values)
        for one, other in ((1.0, 0.0), (0.0, 1.0))
    )
    divergence = softened_divergences(student, teacher, 3.0, "batch_mean")
    torch.testing.assert_close(of_target + rest_B * of_others, divergence, rtol=1e-4, atol=1e-5)


def test_of_two_classes_the_part_of_the_others_is_zero() -> None:
    student, teacher, targets = logits(6, 2, seed=5)
    student.requires_grad_()
    loss = decoupled_divergences(
        student,
        teacher,
        targets,
        temperature=2.0,
        target_weight=0.0,
        other_weight=8.0,
        reduction="batch_mean",
    )
    loss.sum().backward()
    assert student.grad is not None
    assert loss.tolist() == [0.0] * 6
    assert student.grad.count_nonzero() == 0


def test_a_teacher_and_a_student_that_are_sure_give_a_finite_loss_and_gradient() -> None:
    student = torch.tensor([[-400.0, 400.0, 0.0]], requires_grad=True)
    loss = decoupled_divergences(
        student,
        torch.tensor([[400.0, -400.0, 0.0]]),
        torch.tensor([0]),
        temperature=1.0,
        target_weight=1.0,
        other_weight=8.0,
        reduction="batch_mean",
    )
    loss.sum().backward()
    # The target's probability is 1 and exp(-800), and the others' are (0, 1) and (1, 0).
    assert loss.item() == pytest.approx(800 + 8 * 400)
    assert student.grad is not None
    assert student.grad.isfinite().all()


@settings(max_examples=20, deadline=None)
@given(shapes)
def test_the_squared_error_of_the_logits_and_its_gradient_equal_the_formula(
    shape: tuple[int, int, int],
) -> None:
    student, teacher, _ = logits(*shape)
    student.requires_grad_()
    difference = student.detach().double().numpy() - teacher.double().numpy()
    by_example = (difference**2).sum(1)
    np.testing.assert_allclose(
        squared_logit_errors(student, teacher, "element_mean").detach(), by_example / shape[1], rtol=1e-5
    )
    loss = squared_logit_errors(student, teacher, "batch_mean")
    np.testing.assert_allclose(loss.detach(), by_example, rtol=1e-5)
    loss.mean().backward()
    assert student.grad is not None
    np.testing.assert_allclose(student.grad, 2 * difference / shape[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reduction", ["element_mean", "batch_mean"])
def test_the_mean_of_the_softened_divergences_is_the_papers_loss(reduction: str) -> None:
    student, teacher, _ = logits(5, 4, seed=6)
    torch.testing.assert_close(
        softened_divergences(student, teacher, 6.0, reduction).mean(),
        distillation_loss(student, teacher, 6.0, reduction),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_loss_is_float32_and_refuses_other_shapes(dtype: torch.dtype) -> None:
    student, teacher, targets = logits(3, 4, seed=7)
    values = {"temperature": 2.0, "target_weight": 1.0, "other_weight": 1.0, "reduction": "batch_mean"}
    for loss in (
        lambda one, other: softened_divergences(one, other, 2.0, "batch_mean"),
        lambda one, other: squared_logit_errors(one, other, "batch_mean"),
        lambda one, other: decoupled_divergences(one, other, targets, **values),
    ):
        assert loss(student.to(dtype), teacher.to(dtype)).dtype == torch.float32
        with pytest.raises(ValueError, match="agree in shape"):
            loss(student, teacher[:, :3])
