"""The losses against worked examples, and against their formulas in float64 numpy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pkd_core.method.losses import (
    combine,
    cross_entropy_loss,
    distillation_loss,
    patience_loss,
    squared_error_loss,
)

shapes = st.tuples(st.integers(1, 5), st.integers(2, 4), st.integers(1, 6), st.integers(0, 2**32 - 1))


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.exp(logits / temperature - (logits / temperature).max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


def pair(*shape: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * 3, torch.randn(shape, generator=generator) * 3


def test_cross_entropy_of_even_logits_is_the_log_of_the_number_of_classes() -> None:
    loss = cross_entropy_loss(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]))
    assert loss.item() == pytest.approx(math.log(3))


@pytest.mark.filterwarnings("error")  # torch warns of a softmax without a dimension
def test_distillation_golden_value_and_its_reductions() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[4 * math.log(3), 0.0]])
    # At T = 4 the teacher's probabilities are (3/4, 1/4), the student's (1/2, 1/2).
    expected = 16 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert distillation_loss(student, teacher, 4.0, "batch_mean").item() == pytest.approx(expected)
    assert distillation_loss(student, teacher, 4.0, "element_mean").item() == pytest.approx(expected / 2)


def test_patience_golden_value_and_its_reductions() -> None:
    student = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    teacher = torch.tensor([[[4.0, 3.0], [0.0, 2.0]]])
    assert patience_loss(student, teacher, False, "batch_mean").item() == pytest.approx(7.0)
    assert patience_loss(student, teacher, False, "element_mean").item() == pytest.approx(7 / 4)
    # Unit vectors: (0.6, 0.8) with (0.8, 0.6), and (1, 0) with (0, 1).
    assert patience_loss(student, teacher, True, "batch_mean").item() == pytest.approx(0.08 + 2)
    assert patience_loss(student, teacher, True, "element_mean").item() == pytest.approx(2.08 / 4)


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([1.0, 5.0, 20.0]))
def test_distillation_equals_the_formula_in_float64(
    shape: tuple[int, int, int, int], temperature: float
) -> None:
    num_examples, num_classes, _, seed = shape
    student, teacher = pair(num_examples, num_classes, seed=seed)
    p = softmax(teacher.double().numpy(), temperature)
    q = softmax(student.double().numpy(), temperature)
    summed = temperature**2 * (p * np.log(p / q)).sum()
    got = distillation_loss(student, teacher, temperature, "batch_mean").item()
    assert got == pytest.approx(summed / num_examples, rel=1e-3, abs=1e-4)
    got = distillation_loss(student, teacher, temperature, "element_mean").item()
    assert got == pytest.approx(summed / (num_examples * num_classes), rel=1e-3, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(shapes, st.booleans())
def test_patience_equals_the_formula_in_float64(shape: tuple[int, int, int, int], normalize: bool) -> None:
    num_examples, num_layers, width, seed = shape
    student, teacher = pair(num_examples, num_layers, width, seed=seed)
    s, t = student.double().numpy(), teacher.double().numpy()
    if normalize:
        s, t = s / np.linalg.norm(s, axis=-1, keepdims=True), t / np.linalg.norm(t, axis=-1, keepdims=True)
    summed = ((s - t) ** 2).sum()
    got = patience_loss(student, teacher, normalize, "batch_mean").item()
    assert got == pytest.approx(summed / num_examples, rel=1e-4, abs=1e-6)
    got = patience_loss(student, teacher, normalize, "element_mean").item()
    assert got == pytest.approx(summed / (num_examples * num_layers * width), rel=1e-4, abs=1e-6)


def test_distillation_gradient_is_the_difference_of_the_softened_classes() -> None:
    student, teacher = pair(6, 3, seed=1)
    student.requires_grad_()
    teacher.requires_grad_()
    distillation_loss(student, teacher, 5.0, "batch_mean").backward()
    difference = softmax(student.detach().double().numpy(), 5.0) - softmax(
        teacher.detach().double().numpy(), 5.0
    )
    assert student.grad is not None
    np.testing.assert_allclose(student.grad.numpy(), 5.0 * difference / 6, atol=1e-5)
    assert teacher.grad is None


@pytest.mark.parametrize(
    "loss", [lambda *states: patience_loss(*states, True, "batch_mean"), squared_error_loss]
)
def test_the_teacher_gets_no_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    student, teacher = pair(2, 1, seed=2) if loss is squared_error_loss else pair(2, 2, 4, seed=2)
    student.requires_grad_()
    teacher.requires_grad_()
    loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_a_state_of_zeros_gives_a_finite_loss_and_gradient() -> None:
    student = torch.zeros(1, 1, 4, requires_grad=True)
    loss = patience_loss(student, torch.ones(1, 1, 4), True, "batch_mean")
    loss.backward()
    assert student.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_loss_is_float32_for_inputs_of_any_dtype(dtype: torch.dtype) -> None:
    student, teacher = (values.to(dtype) for values in pair(3, 2, seed=3))
    states = student.reshape(3, 1, 2)
    losses = [
        cross_entropy_loss(student, torch.tensor([0, 1, 0])),
        squared_error_loss(student[:, :1], teacher[:, 0]),
        distillation_loss(student, teacher, 2.0, "batch_mean"),
        patience_loss(states, teacher.reshape(3, 1, 2), True, "element_mean"),
    ]
    assert [loss.dtype for loss in losses] == [torch.float32] * 4


def test_large_half_precision_states_do_not_overflow() -> None:
    student = torch.full((1, 1, 8), 300.0, dtype=torch.float16)
    assert patience_loss(student, -student, False, "batch_mean").item() == pytest.approx(8 * 600**2)


def test_squared_error_accepts_labels_and_teacher_predictions() -> None:
    student = torch.tensor([[1.0], [2.0]])
    assert squared_error_loss(student, torch.tensor([3.0, 2.0])).item() == 2.0
    assert squared_error_loss(student, torch.tensor([[3.0], [2.0]])).item() == 2.0


def test_squared_error_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match="B targets"):
        squared_error_loss(torch.zeros(2, 1), torch.zeros(1))
    with pytest.raises(ValueError, match="B targets"):
        squared_error_loss(torch.zeros(2, 2), torch.zeros(2))


@given(st.floats(0, 1), st.floats(0, 1000))
def test_alpha_weighs_the_soft_loss_and_beta_the_patience(alpha: float, beta: float) -> None:
    parts = combine(torch.tensor(2.0), torch.tensor(3.0), torch.tensor(5.0), alpha=alpha, beta=beta)
    assert parts.total.item() == pytest.approx((1 - alpha) * 2 + alpha * 3 + beta * 5, rel=1e-5)


def test_computed_parts_are_returned_unweighted_by_name() -> None:
    parts = combine(torch.tensor(2.0), torch.tensor(3.0), torch.tensor(5.0), alpha=0.5, beta=10.0)
    values = {name: value.item() for name, value in parts.named().items()}
    assert values == {"total": 52.5, "cross_entropy": 2.0, "distillation": 3.0, "patience": 5.0}


def test_without_a_teacher_the_total_is_the_cross_entropy() -> None:
    parts = combine(torch.tensor(2.0))
    assert parts.named() == {"total": torch.tensor(2.0), "cross_entropy": torch.tensor(2.0)}


def test_wrong_arguments_are_an_error() -> None:
    with pytest.raises(ValueError, match="agree in shape"):
        distillation_loss(torch.zeros(2, 3), torch.zeros(2, 2), 1.0, "batch_mean")
    with pytest.raises(ValueError, match="agree in shape"):
        patience_loss(torch.zeros(2, 3, 4), torch.zeros(2, 2, 4), False, "batch_mean")
    with pytest.raises(ValueError, match="at least one matched layer"):
        patience_loss(torch.zeros(2, 0, 4), torch.zeros(2, 0, 4), False, "batch_mean")
    with pytest.raises(ValueError, match="reduction must be"):
        patience_loss(torch.zeros(2, 1, 4), torch.zeros(2, 1, 4), False, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not computed"):
        combine(torch.tensor(1.0), alpha=0.5)
    with pytest.raises(ValueError, match="not computed"):
        combine(torch.tensor(1.0), torch.tensor(1.0), alpha=0.5, beta=1.0)
