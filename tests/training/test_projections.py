"""The patience loss of a student that is narrower or wider than its teacher: projected, trained, resumed, dropped."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference_training import ModernOptimizer, ReleasedOptimizer, global_norm, modern_rate
from safetensors.torch import load_file
from test_resuming import Killed, Stop
from tiny_bert import Recorder, make_table, padded, tiny_classifier, tiny_config
from torch import nn
from trainings import CPU, run
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.method.losses import patience_loss
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.objective import Objective
from pkd_core.training.projections import Projections

LAYER_MAP = ((1, 2), (2, 3))
WIDTH, TEACHER_WIDTH = 32, 48
ALPHA, TEMPERATURE, BETA = 0.4, 5.0, 20.0
Array = np.ndarray[Any, Any]


def wide_teacher() -> BertForSequenceClassification:
    torch.manual_seed(5)
    return BertForSequenceClassification(tiny_config(4, hidden_size=TEACHER_WIDTH)).eval()


def wide_objective(folder: Path, table: TokenTable, seed: int = 1) -> Objective:
    extract(wide_teacher(), table, folder, "float32", Recorder(), device=CPU)
    return Objective(
        alpha=ALPHA,
        temperature=TEMPERATURE,
        distillation_reduction="element_mean",
        teacher_states=TeacherStates.open(folder),
        beta=BETA,
        layer_map=LAYER_MAP,
        projections=Projections(len(LAYER_MAP), WIDTH, TEACHER_WIDTH, seed),
    )


@pytest.mark.parametrize("reduction", ["element_mean", "batch_mean"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("size", "teacher_size"), [(3, 5), (5, 3)])
def test_loss_and_gradients_equal_their_formulas(
    size: int, teacher_size: int, normalize: bool, reduction: Any
) -> None:
    rng = np.random.default_rng(0)
    num_rows, num_layers = 4, 2
    student_BME = rng.standard_normal((num_rows, num_layers, size)).astype(np.float32)
    teacher_BMD = rng.standard_normal((num_rows, num_layers, teacher_size)).astype(np.float32)
    projections = Projections(num_layers, size, teacher_size, seed=3)
    states = [torch.from_numpy(student_BME[:, layer]).requires_grad_() for layer in range(num_layers)]
    loss = patience_loss(projections(states), torch.from_numpy(teacher_BMD), normalize, reduction)
    loss.backward()

    divisor = num_rows if reduction == "batch_mean" else num_rows * num_layers * teacher_size
    expected = 0.0
    for layer, matrix_DE in enumerate(projections.matrices_DE):
        weights_DE = matrix_DE.detach().double().numpy()
        student_BE, teacher_BD = student_BME[:, layer].astype(float), teacher_BMD[:, layer].astype(float)
        value, to_projected_BD = distance(student_BE @ weights_DE.T, teacher_BD, normalize)
        expected += value / divisor
        assert matrix_DE.grad is not None and states[layer].grad is not None
        np.testing.assert_allclose(matrix_DE.grad, to_projected_BD.T @ student_BE / divisor, atol=1e-6)
        np.testing.assert_allclose(states[layer].grad, to_projected_BD @ weights_DE / divisor, atol=1e-6)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def distance(projected_BD: Array, teacher_BD: Array, normalize: bool) -> tuple[float, Array]:
    """Return the squared distance, and its gradient by the projected states, of which normalizing removes a part."""
    if not normalize:
        apart_BD = projected_BD - teacher_BD
        return float((apart_BD**2).sum()), 2 * apart_BD
    lengths_B1 = np.linalg.norm(projected_BD, axis=1, keepdims=True)
    unit_BD = projected_BD / lengths_B1
    apart_BD = unit_BD - teacher_BD / np.linalg.norm(teacher_BD, axis=1, keepdims=True)
    along_B1 = (apart_BD * unit_BD).sum(1, keepdims=True)
    return float((apart_BD**2).sum()), 2 * (apart_BD - along_B1 * unit_BD) / lengths_B1


def test_first_weights_follow_from_the_seed_and_keep_the_scale_of_the_states() -> None:
    one, same, other = (Projections(2, 256, 512, seed).matrices_DE for seed in (1, 1, 2))
    assert all(torch.equal(mine, again) for mine, again in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[0], one[1])
    projected = Projections(1, 256, 512, seed=1)([torch.randn(64, 256, generator=torch.manual_seed(0))])
    assert (projected.shape, projected.dtype) == ((64, 1, 512), torch.float32)
    assert projected.std().item() == pytest.approx(1.0, abs=0.05)
    assert Projections(1, 8, 4, seed=0)([torch.ones(2, 8, dtype=torch.bfloat16)]).dtype == torch.float32


MODERN = TrainingConfig(
    learning_rate=2e-3, num_epochs=2, batch_size=8, weight_decay=1.0, precision="float32", shuffle=False
)


@pytest.mark.parametrize(
    "settings",
    [
        MODERN.model_copy(update={"max_grad_norm": 0.5}),
        MODERN.model_copy(update={"optimizer": "bert-adam", "max_grad_norm": 0.02}),
    ],
    ids=["all clipped together", "each tensor clipped"],
)
def test_projections_are_clipped_decayed_and_moved_as_the_student_is(
    settings: TrainingConfig, tmp_path: Path
) -> None:
    table, observer = make_table(20), Recorder()
    goal = wide_objective(tmp_path, table)
    assert goal.projections is not None
    mine, first = tiny_classifier(3, seed=3, dropout=0.0), copied(goal.projections)
    expected = nn.ModuleDict(
        {
            "model": tiny_classifier(3, seed=3, dropout=0.0).train(),
            "projections": Projections(len(LAYER_MAP), WIDTH, TEACHER_WIDTH, seed=1),
        }
    )
    norms = reference(expected, table, settings)
    run(mine, table, settings, objective=goal, observer=observer)
    assert all(norm > settings.max_grad_norm for norm in norms)
    for name, start in first.items():
        moved = goal.projections.state_dict()[name] - start
        moved_there = expected["projections"].state_dict()[name] - start
        assert torch.linalg.vector_norm(moved_there) > 0.1
        torch.testing.assert_close(moved, moved_there, atol=1e-4, rtol=1e-2)
    classifier = expected["model"].state_dict()["classifier.weight"]
    torch.testing.assert_close(mine.classifier.weight.detach(), classifier, atol=1e-4, rtol=1e-2)


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def reference(trained: nn.ModuleDict, table: TokenTable, settings: TrainingConfig) -> list[float]:
    """Train in the table's order with transformers, torch and the formulas; return the gradients' norms."""
    teacher, norms = wide_teacher(), []
    make = ReleasedOptimizer if settings.optimizer == "bert-adam" else ModernOptimizer
    optimizer: Any = make(trained, settings)  # type: ignore[arg-type]
    for _ in range(settings.num_epochs):
        for start in range(0, len(table), settings.batch_size):
            rows = list(range(start, min(start + settings.batch_size, len(table))))
            trained.zero_grad()
            reference_loss(trained, teacher, table, rows).backward()
            norms.append(global_norm(trained))  # type: ignore[arg-type]
            optimizer.step(modern_rate(len(norms) - 1, len(table), settings))
    return norms


def reference_loss(
    trained: nn.ModuleDict, teacher: BertForSequenceClassification, table: TokenTable, rows: Sequence[int]
) -> torch.Tensor:
    assert table.labels_R is not None
    student_out = trained["model"](**padded(table, rows), output_hidden_states=True)
    with torch.no_grad():
        teacher_out = teacher(**padded(table, rows), output_hidden_states=True)
    hard = nn.functional.cross_entropy(student_out.logits, torch.from_numpy(table.labels_R[list(rows)]))
    p_BC = (teacher_out.logits / TEMPERATURE).softmax(-1)
    q_BC = (student_out.logits / TEMPERATURE).softmax(-1)
    soft = TEMPERATURE**2 * (p_BC * (p_BC / q_BC).log()).mean()
    apart = []
    for number, (student, layer) in enumerate(LAYER_MAP):
        matrix_DE = trained["projections"].get_parameter(f"matrices_DE.{number}")
        projected_BD = student_out.hidden_states[student][:, 0] @ matrix_DE.T
        teacher_BD = teacher_out.hidden_states[layer][:, 0]
        unit_BD = projected_BD / projected_BD.norm(dim=1, keepdim=True)
        apart.append(unit_BD - teacher_BD / teacher_BD.norm(dim=1, keepdim=True))
    patience = torch.stack(apart).square().mean()
    return (1 - ALPHA) * hard + ALPHA * soft + BETA * patience


def test_a_killed_training_continues_with_its_projections(tmp_path: Path) -> None:
    table = make_table(24)
    ends = []
    for name, stops in (("whole", []), ("killed", [2, 3])):
        for step in [*stops, 0]:
            goal = wide_objective(tmp_path / name / "states", table)
            model = tiny_classifier(3)
            checkpoints = Checkpoints(tmp_path / name, tmp_path / name, 0.0)
            if step:
                with pytest.raises(Killed):
                    run(model, table, objective=goal, observer=Stop(step, Killed), checkpoints=checkpoints)
                saved = load_file(checkpoints.folder / "tensors.safetensors")
                assert f"model.projections.matrices_DE.{len(LAYER_MAP) - 1}" in saved
            else:
                run(model, table, objective=goal, checkpoints=checkpoints)
        assert goal.projections is not None
        ends.append(copied(model) | copied(goal.projections))
    whole, killed = ends
    first = copied(Projections(len(LAYER_MAP), WIDTH, TEACHER_WIDTH, seed=1))
    for name, value in whole.items():
        assert torch.equal(killed[name], value), name
        assert name not in first or not torch.equal(value, first[name])


def test_without_projections_only_the_model_is_trained_under_its_own_names(tmp_path: Path) -> None:
    table = make_table(8)
    checkpoints = Checkpoints(tmp_path, tmp_path, 1e9)
    goal = replace(wide_objective(tmp_path / "states", table), beta=0.0, layer_map=(), projections=None)
    model = tiny_classifier(3)
    run(model, table, objective=goal, checkpoints=checkpoints)
    saved = load_file(checkpoints.folder / "tensors.safetensors")
    names = {name.removeprefix("model.") for name in saved if name.startswith("model.")}
    assert names == model.state_dict().keys()
