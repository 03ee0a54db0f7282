"""Steps in graphs compute what eager steps do; graphs need a GPU, so a stand-in runs here what one has captured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from packed_reference import attend_packed_reference
from tiny_bert import make_table, tiny_classifier
from torch import Tensor
from trainings import CPU, SETTINGS, objective

from pkd_core.data.token_table import TokenTable
from pkd_core.model import forward as forward_module
from pkd_core.model.dropout import make_masks
from pkd_core.training import graphed_steps
from pkd_core.training import steps as steps_module
from pkd_core.training.batches import BatchLoader
from pkd_core.training.graphed_steps import GraphedSteps
from pkd_core.training.objective import Objective
from pkd_core.training.optimizer import make_optimizer, update
from pkd_core.training.projections import Projections
from pkd_core.training.steps import EagerSteps, Learner, StepLosses
from pkd_core.training.update_rules import AdamW, BertAdam, UpdateRule


@dataclass
class RunAgain:
    """Stands for a captured graph: computes again from the tensors that were captured."""

    compute: Callable[[], Tensor]
    pool: Any
    num_replays: int = 0

    def replay(self) -> Tensor:
        self.num_replays += 1
        return self.compute().clone()


@dataclass
class Captures:
    """The graphs of a test."""

    graphs: list[RunAgain] = field(default_factory=list)

    def __call__(self, compute: Callable[[], Tensor], pool: Any) -> RunAgain:
        self.graphs.append(RunAgain(compute, pool))
        return self.graphs[-1]


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Captures:
    captures = Captures()
    monkeypatch.setattr(graphed_steps, "CapturedGraph", captures)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(forward_module, "attend_packed", attend_packed_reference)
    return captures


def learner_of(goal: Objective | None, rule: UpdateRule, dtype: torch.dtype = torch.float32) -> Learner:
    model = tiny_classifier(3, seed=3, dropout=0.0)
    optimizer = make_optimizer(model, SETTINGS, rule, CPU)
    return Learner(model, goal, False, optimizer, rule, 0.5, dtype, CPU)


def run_steps(
    steps: EagerSteps | GraphedSteps, table: TokenTable, goal: Objective | None, accumulation_steps: int
) -> list[StepLosses]:
    settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps})
    teacher = None if goal is None else goal.teacher_source(CPU)
    loader = BatchLoader(table, settings, teacher, 1, CPU, with_padding=False)
    batches = [batch for epoch in (1, 2, 3) for batch in loader.epoch(epoch)]
    return [steps.run(batch, 1e-3 * number) for number, batch in enumerate(batches)]


@pytest.mark.parametrize("rule", [AdamW(), BertAdam()])
@pytest.mark.parametrize("accumulation_steps", [1, 3])
@pytest.mark.parametrize("has_teacher", [False, True])
def test_losses_norms_and_weights_are_those_of_eager_steps(
    rule: UpdateRule, accumulation_steps: int, has_teacher: bool, captures: Captures, tmp_path: Path
) -> None:
    table = make_table(37)  # 16, 16 and 5 examples an epoch
    goal = objective(tmp_path, table) if has_teacher else None
    eager, graphed = learner_of(goal, rule), learner_of(goal, rule)
    expected = run_steps(EagerSteps(eager), table, goal, accumulation_steps)
    losses = run_steps(GraphedSteps(graphed), table, goal, accumulation_steps)
    assert captures.graphs, "nothing was captured"
    assert all(graph.num_replays > 0 and graph.pool == "pool" for graph in captures.graphs)
    for step, other in zip(losses, expected, strict=True):
        assert list(step.means) == list(other.means)
        torch.testing.assert_close(dict(step.means), dict(other.means))
        torch.testing.assert_close(step.gradient_norm, other.gradient_norm)
    for (name, weight), other in zip(graphed.model.named_parameters(), eager.model.parameters(), strict=True):
        # A key's bias has gradients of rounding alone, which Adam scales up to full steps.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(weight, other, atol=1e-6, rtol=1e-4, msg=name)


def test_projections_move_as_in_eager_steps(captures: Captures, tmp_path: Path) -> None:
    table, ends = make_table(37), []
    stored = objective(tmp_path, table)
    for kind in (EagerSteps, GraphedSteps):
        projections = Projections(len(stored.matched_layers), 32, 32, seed=1)
        goal = replace(stored, projections=projections)
        learner = learner_of(goal, AdamW())
        trained = torch.nn.ModuleDict({"model": learner.model, "projections": projections})
        optimizer = make_optimizer(trained, SETTINGS, AdamW(), CPU)
        run_steps(kind(replace(learner, optimizer=optimizer)), table, goal, 1)
        ends.append(projections.matrices_DE[0].detach())
    (first,) = Projections(1, 32, 32, seed=1).matrices_DE
    torch.testing.assert_close(ends[1], ends[0], atol=1e-6, rtol=1e-4)
    assert torch.linalg.vector_norm(ends[1] - first.detach()) > 0.1


def test_a_shape_is_captured_at_its_second_run_and_the_update_once(captures: Captures) -> None:
    # All epochs have batches of 16, 16 and 5 examples, in packed rows of 192 to 256 and of 64 to 128.
    run_steps(GraphedSteps(learner_of(None, AdamW())), make_table(37), None, 1)
    replays = [graph.num_replays for graph in captures.graphs]
    assert max(replays) == 8, "the update runs once eagerly, then in its graph"
    assert len(replays) < 8
    assert sum(replays) > 8


def test_no_more_than_so_many_shapes_are_captured(
    captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphed_steps, "_MAX_GRAPHS", 1)
    run_steps(GraphedSteps(learner_of(None, AdamW())), make_table(37), None, 1)
    assert len(captures.graphs) == 2, "one of a shape, one of the update"


def test_the_encoder_is_computed_in_the_learners_dtype_from_the_newest_weights(captures: Captures) -> None:
    learner = learner_of(None, AdamW(), torch.bfloat16)
    steps = GraphedSteps(learner)
    computed = steps._model
    assert computed.bert.embeddings is learner.model.bert.embeddings
    assert computed.classifier is learner.model.classifier
    run_steps(steps, make_table(37), None, 1)
    for module in ("encoder", "pooler"):
        pairs = zip(
            getattr(computed.bert, module).parameters(),
            getattr(learner.model.bert, module).parameters(),
            strict=True,
        )
        for copied, weight in pairs:
            assert (copied.dtype, weight.dtype) == (torch.bfloat16, torch.float32)
            assert torch.equal(copied, weight.bfloat16())


@pytest.mark.parametrize("kind", [EagerSteps, GraphedSteps])
def test_a_step_has_the_devices_generator_to_itself_from_seed_to_update(
    kind: type[EagerSteps | GraphedSteps], captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    @contextmanager
    def exclusive(device: torch.device) -> Iterator[None]:
        assert device == CPU
        log.append("begin")
        yield
        log.append("end")

    for module in (steps_module, graphed_steps):
        monkeypatch.setattr(module, "exclusive_generator", exclusive)
        for name, function in (("make_masks", make_masks), ("update", update)):
            observed = partial(_logged, log, name, function)
            monkeypatch.setattr(module, name, observed)
    run_steps(kind(learner_of(None, AdamW())), make_table(16), None, 2)
    assert log == ["begin", "make_masks", "make_masks", "update", "end"] * 3


def _logged(log: list[str], name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    log.append(name)
    return function(*arguments)
