"""Heads on a student's inner layers (kd.full): their losses, their training beside the student, and its end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_training import ModernOptimizer, modern_rate
from safetensors.torch import load_file
from test_resuming import Killed, Stop
from tiny_bert import Recorder, make_table, padded, tiny_classifier
from torch import Tensor, nn
from trainings import CPU, run
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.method.losses import LossParts, with_heads
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.heads import Heads
from pkd_core.training.objective import Objective

LAYERS, WIDTH = (1, 2), 32
ALPHA, TEMPERATURE, WEIGHT = 0.4, 5.0, 0.3
SETTINGS = TrainingConfig(
    learning_rate=2e-3, num_epochs=2, batch_size=8, weight_decay=1.0, max_grad_norm=0.5, precision="float32"
).model_copy(update={"shuffle": False})


def new_heads(seed: int = 1) -> Heads:
    return Heads(LAYERS, WIDTH, num_outputs=2, std=0.1, seed=seed)


def full_objective(folder: Path, table: TokenTable, **changes: Any) -> Objective:
    extract(tiny_classifier(4, seed=5), table, folder, "float32", Recorder(), device=CPU)
    values = {
        "alpha": ALPHA,
        "temperature": TEMPERATURE,
        "distillation_reduction": "element_mean",
        "teacher_states": TeacherStates.open(folder),
        "heads": new_heads(),
        "head_weight": WEIGHT,
    }
    return Objective(**values | changes)


def test_a_head_is_a_linear_classifier_of_its_own_layers_state() -> None:
    heads = Heads((1, 3), hidden_size=8, num_outputs=3, std=0.02, seed=4)
    with torch.no_grad():
        heads.biases_C[1].fill_(2.0)
    states = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(1))
    first, second = heads(states.bfloat16())
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, states.bfloat16().float()[:, 0] @ heads.weights_CD[0].T)
    torch.testing.assert_close(second, states.bfloat16().float()[:, 2] @ heads.weights_CD[1].T + 2.0)


def test_first_weights_follow_from_the_seed() -> None:
    one, same, other = (Heads((1, 2), 256, 16, 0.02, seed) for seed in (1, 1, 2))
    assert torch.equal(one.weights_CD[1], same.weights_CD[1])
    assert not torch.equal(one.weights_CD[0], other.weights_CD[0])
    assert not torch.equal(one.weights_CD[0], one.weights_CD[1])
    assert one.weights_CD[0].std().item() == pytest.approx(0.02, rel=0.05)
    assert [bias.count_nonzero().item() for bias in one.biases_C] == [0, 0]


def test_the_heads_mean_loss_is_weighed_against_the_students_own() -> None:
    own = LossParts(torch.tensor(4.0), torch.tensor(3.0), torch.tensor(5.0))
    parts = with_heads(own, [torch.tensor(1.0), torch.tensor(2.0)], 0.25)
    assert {name: value.item() for name, value in parts.named().items()} == {
        "total": 0.75 * 4.0 + 0.25 * 1.5,
        "cross_entropy": 3.0,
        "distillation": 5.0,
        "heads": 1.5,
    }


def test_student_and_heads_train_as_their_formulas_say(tmp_path: Path) -> None:
    table, observer = make_table(20), Recorder()
    goal = full_objective(tmp_path, table)
    assert goal.heads is not None
    student = tiny_classifier(3, seed=3, dropout=0.0)
    expected = nn.ModuleDict(
        {"model": tiny_classifier(3, seed=3, dropout=0.0).train(), "heads": linear_heads()}
    )
    losses = reference(expected, table)
    run(student, table, SETTINGS, objective=goal, observer=observer)

    for name in ("total", "heads"):
        found = list(observer.series(f"train/{name}").values())
        torch.testing.assert_close(found, [step[name] for step in losses], rtol=1e-4, atol=1e-6)
    first = new_heads()
    for number, linear in enumerate(expected["heads"]):
        start = first.weights_CD[number]
        moved, moved_there = goal.heads.weights_CD[number] - start, linear.weight - start
        distance = torch.linalg.vector_norm(moved_there)
        assert distance > 0.01
        assert torch.linalg.vector_norm(moved - moved_there) < 1e-2 * distance
        torch.testing.assert_close(goal.heads.biases_C[number], linear.bias, atol=1e-4, rtol=1e-2)
    trained = expected["model"].state_dict()
    for name in ("classifier.weight", "bert.encoder.layer.0.output.dense.weight"):
        torch.testing.assert_close(student.state_dict()[name], trained[name], atol=1e-4, rtol=1e-2)


def linear_heads() -> nn.ModuleList:
    """Return the first heads as layers of torch."""
    linears, first = nn.ModuleList(), new_heads()
    for weight, bias in zip(first.weights_CD, first.biases_C, strict=True):
        linear = nn.Linear(WIDTH, 2)
        linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
        linears.append(linear)
    return linears


def reference(trained: nn.ModuleDict, table: TokenTable) -> list[dict[str, float]]:
    """Train in the table's order with transformers, torch and the formulas; return the losses of each step."""
    teacher, steps = tiny_classifier(4, seed=5), []
    optimizer = ModernOptimizer(trained, SETTINGS)  # type: ignore[arg-type]
    for _ in range(SETTINGS.num_epochs):
        for start in range(0, len(table), SETTINGS.batch_size):
            rows = list(range(start, min(start + SETTINGS.batch_size, len(table))))
            trained.zero_grad()
            own, heads = reference_losses(trained, teacher, table, rows)
            total = (1 - WEIGHT) * own + WEIGHT * heads
            total.backward()
            steps.append({"total": total.item(), "heads": heads.item()})
            optimizer.step(modern_rate(len(steps) - 1, len(table), SETTINGS))
    return steps


def reference_losses(
    trained: nn.ModuleDict, teacher: BertForSequenceClassification, table: TokenTable, rows: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the loss of the student's own logits, and the mean of the heads'."""
    assert table.labels_R is not None
    labels_B = torch.from_numpy(table.labels_R[list(rows)])
    output = trained["model"](**padded(table, rows), output_hidden_states=True)
    with torch.no_grad():
        p_BC = (teacher(**padded(table, rows)).logits / TEMPERATURE).softmax(-1)

    def loss(logits_BC: Tensor) -> Tensor:
        q_BC = (logits_BC / TEMPERATURE).softmax(-1)
        soft = TEMPERATURE**2 * (p_BC * (p_BC / q_BC).log()).mean()
        return (1 - ALPHA) * nn.functional.cross_entropy(logits_BC, labels_B) + ALPHA * soft

    heads = [
        loss(linear(output.hidden_states[layer][:, 0]))
        for layer, linear in zip(LAYERS, trained["heads"], strict=True)
    ]
    return loss(output.logits), torch.stack(heads).mean()


def test_a_killed_training_continues_with_its_heads_and_leaves_a_plain_model(tmp_path: Path) -> None:
    table = make_table(24)
    ends = []
    for name, stops in (("whole", []), ("killed", [2, 3])):
        for step in [*stops, 0]:
            goal, model = full_objective(tmp_path / name / "states", table), tiny_classifier(3)
            checkpoints = Checkpoints(tmp_path / name, tmp_path / name, 0.0)
            if step:
                with pytest.raises(Killed):
                    run(model, table, objective=goal, observer=Stop(step, Killed), checkpoints=checkpoints)
                saved = load_file(checkpoints.folder / "tensors.safetensors")
                assert "model.heads.weights_CD.1" in saved
            else:
                run(model, table, objective=goal, checkpoints=checkpoints)
        assert goal.heads is not None
        assert model.state_dict().keys() == tiny_classifier(3).state_dict().keys()
        ends.append(model.state_dict() | goal.heads.state_dict())
    whole, killed = ends
    for name, value in whole.items():
        assert torch.equal(killed[name], value), name


def test_heads_learn_from_texts_without_labels_too(tmp_path: Path) -> None:
    table, observer = make_table(16), Recorder()
    assert table.labels_R is not None
    goal = full_objective(tmp_path, table, has_unlabelled=True)
    missing = replace(table, labels_R=table.labels_R * 0 - 1)
    run(tiny_classifier(3), missing, SETTINGS, objective=goal, observer=observer)
    heads = list(observer.series("train/heads").values())
    assert heads[-1] < heads[0]
    assert set(observer.series("train/cross_entropy").values()) == {0.0}
