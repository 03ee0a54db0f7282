"""What only a GPU can show: its kernels compute what the CPU does, and graphs what eager steps do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from packed_reference import attend_packed_reference
from tiny_bert import Recorder, make_table, tiny_classifier
from torch import Tensor
from trainings import CPU, SETTINGS, objective

from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.predict import predict
from pkd_core.model.linear import linear
from pkd_core.model.packed_attention import attend_packed
from pkd_core.model.packing import PaddingLayout, pack
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training import graphed_steps
from pkd_core.training.batches import BatchLoader
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.graphed_steps import GraphedSteps
from pkd_core.training.loop import Training, train
from pkd_core.training.objective import Objective
from pkd_core.training.optimizer import make_optimizer
from pkd_core.training.steps import EagerSteps, Learner, StepLosses
from pkd_core.training.update_rules import AdamW, BertAdam, UpdateRule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def float32_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def random_rows(num_queries: int, num_rows: int) -> list[Tensor]:
    generator = torch.Generator(GPU).manual_seed(0)
    return [
        torch.randn(rows, 128, generator=generator, device=GPU, dtype=torch.bfloat16, requires_grad=True)
        for rows in (num_queries, num_rows, num_rows)
    ]


def layout_of(num_examples: int) -> PaddingLayout:
    return pack(make_table(num_examples), np.arange(num_examples), GPU, with_padding=False).layout


@pytest.mark.parametrize("one_query", [False, True])
def test_packed_attention_and_its_gradients_are_those_of_the_formula(one_query: bool) -> None:
    layout = layout_of(40)
    num_rows = int(layout.starts_S[-1])
    inputs = random_rows(40 if one_query else num_rows, num_rows)
    exact = [rows.detach().double().requires_grad_() for rows in inputs]
    output, expected = attend_packed(*inputs, layout, 2, 0.0), attend_packed_reference(*exact, layout, 2, 0.0)
    weights = torch.randn_like(expected)
    gradients = torch.autograd.grad((output * weights).sum(), inputs)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), exact)
    for value, other in zip([output, *gradients], [expected, *expected_gradients], strict=True):
        assert value.isfinite().all()
        error = (value.double() - other).norm() / other.norm()
        assert error < 1e-2


def test_packed_attention_drops_at_the_rate_and_by_the_devices_generator() -> None:
    layout = layout_of(40)
    num_rows = int(layout.starts_S[-1])
    queries, keys, _ = random_rows(num_rows, num_rows)
    ones = torch.ones_like(keys)  # the output is then the sum of the weights that were kept, over 1 - rate
    outputs = []
    for seed in (1, 1, 2):
        torch.cuda.manual_seed(seed)
        outputs.append(attend_packed(queries, keys, ones, layout, 2, 0.1).float())
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert outputs[0].mean().item() == pytest.approx(1.0, abs=0.01)
    assert outputs[0].std().item() > 0.02


def test_a_linear_layer_and_its_gradients_are_torchs() -> None:
    generator = torch.Generator(GPU).manual_seed(0)
    shapes = ((500, 96), (64, 96), (64,))
    inputs = [torch.randn(*shape, generator=generator, device=GPU, requires_grad=True) for shape in shapes]
    weights = torch.randn(500, 64, generator=generator, device=GPU)
    results = []
    for function in (linear, torch.nn.functional.linear):
        output = function(*inputs)
        results.append([output, *torch.autograd.grad((output * weights).sum(), inputs)])
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-3)


def test_logits_and_states_are_the_cpus(tmp_path: Path) -> None:
    table = make_table(70)
    for device in (CPU, GPU):
        model = tiny_classifier()
        extract(model, table, tmp_path / device.type, "float32", Recorder(), device=device)
    stored = [
        TeacherStates.open(tmp_path / name).gather(torch.from_numpy(table.example_ids_R), (1, 4))
        for name in ("cpu", "cuda")
    ]
    torch.testing.assert_close(stored[1].logits_BC, stored[0].logits_BC, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(stored[1].cls_states_BMD, stored[0].cls_states_BMD, atol=1e-5, rtol=1e-4)


def losses_of(
    device: torch.device, precision: str, goal: Objective | None, table: TokenTable, dropout: float = 0.0
) -> tuple[list[float], np.ndarray]:
    """Train, and return each step's total loss and the logits of the trained model, computed on the CPU."""
    observer, model = Recorder(), tiny_classifier(3, seed=3, dropout=dropout)
    settings = SETTINGS.model_copy(update={"precision": precision, "num_epochs": 4, "learning_rate": 5e-4})
    train(training_of(model, table, goal, observer, device, settings))
    return list(observer.series("train/total").values()), predict(model.to("cpu"), table, CPU)[1]


def training_of(model, table, goal, observer, device, settings, checkpoints=None) -> Training:  # type: ignore[no-untyped-def]
    return Training(
        model=model,
        train_table=table,
        dev_table=make_table(24, seed=99),
        settings=settings,
        seed=1,
        metrics=("accuracy",),
        is_regression=False,
        objective=goal,
        save_best=lambda _: None,
        checkpoints=checkpoints,
        observer=observer,
        device=device,
    )


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.03)])
@pytest.mark.parametrize("has_teacher", [False, True])
def test_a_training_without_dropout_has_the_cpus_losses(
    precision: str, tolerance: float, has_teacher: bool, tmp_path: Path
) -> None:
    table = make_table(300)
    goal = objective(tmp_path, table) if has_teacher else None
    expected, expected_logits = losses_of(CPU, "float32", goal, table)
    losses, logits = losses_of(GPU, precision, goal, table)
    np.testing.assert_allclose(losses, expected, rtol=tolerance, atol=tolerance)
    error = np.linalg.norm(logits - expected_logits) / np.linalg.norm(expected_logits)
    assert error < 10 * tolerance


def learner_of(goal: Objective | None, rule: UpdateRule, dropout: float) -> Learner:
    model = tiny_classifier(3, seed=3, dropout=dropout).to(GPU)
    return Learner(
        model, goal, False, make_optimizer(model, SETTINGS, rule, GPU), rule, 0.5, torch.bfloat16, GPU
    )


@pytest.mark.parametrize("rule", [AdamW(), BertAdam()])
@pytest.mark.parametrize("accumulation_steps", [1, 3])
def test_graphs_compute_the_losses_of_eager_steps_with_the_same_dropout(
    rule: UpdateRule, accumulation_steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table(16 * 20 + 5)
    goal = objective(tmp_path, table)
    losses: dict[bool, list[StepLosses]] = {}
    num_captured = 0

    class Counted(graphed_steps.CapturedGraph):
        def __init__(self, *arguments: object) -> None:
            nonlocal num_captured
            num_captured += 1
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(graphed_steps, "CapturedGraph", Counted)
    for graphed in (False, True):
        learner = learner_of(goal, rule, dropout=0.1)
        steps = GraphedSteps(learner) if graphed else EagerSteps(learner)
        settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps})
        loader = BatchLoader(table, settings, goal.teacher_source(GPU), 1, GPU, with_padding=False)
        losses[graphed] = [steps.run(batch, 1e-4) for epoch in (1, 2, 3) for batch in loader.epoch(epoch)]
    assert num_captured >= 3
    for captured, eager in zip(losses[True], losses[False], strict=True):
        for name, value in eager.means.items():
            assert captured.means[name].item() == pytest.approx(value.item(), rel=0.02, abs=0.02), name
        assert captured.gradient_norm.item() == pytest.approx(eager.gradient_norm.item(), rel=0.05)
    first, second = (losses[graphed][0].means["total"].item() for graphed in (False, True))
    assert first == pytest.approx(second, rel=1e-5), "the first step has the same masks and weights"


class StopAt(Recorder):
    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def progress(self, done: int, total: int, unit: str) -> None:
        super().progress(done, total, unit)
        if done == self._step:
            raise StoppedError("stopped here")


def test_a_resumed_training_goes_on_with_the_same_masks(tmp_path: Path) -> None:
    table = make_table(300)
    settings = SETTINGS.model_copy(update={"precision": "bfloat16", "learning_rate": 1e-4})
    undisturbed = Recorder()
    train(training_of(tiny_classifier(3), table, None, undisturbed, GPU, settings))
    stopped, resumed = StopAt(23), Recorder()
    training = training_of(
        tiny_classifier(3), table, None, stopped, GPU, settings, Checkpoints(tmp_path, tmp_path, 1e9)
    )
    with pytest.raises(StoppedError):
        train(training)
    train(replace(training, model=tiny_classifier(3, seed=8), observer=resumed))
    losses = stopped.series("train/total") | resumed.series("train/total")
    expected = undisturbed.series("train/total")
    assert list(losses) == list(expected)
    np.testing.assert_allclose(list(losses.values()), list(expected.values()), rtol=0.01)


def test_the_devices_generator_is_as_before_after_a_training() -> None:
    model = tiny_classifier(2)  # seeds it too
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device=GPU)
    torch.cuda.manual_seed(5)
    settings = SETTINGS.model_copy(update={"precision": "bfloat16"})
    train(training_of(model, make_table(40), None, Recorder(), GPU, settings))
    assert torch.equal(torch.rand(3, device=GPU), expected)


def test_a_batch_of_many_rows_can_be_captured() -> None:
    """Beyond 3,072 rows the gradient of embeddings is computed in another way."""
    table = make_table(64 * 12)
    model = tiny_classifier(2)
    settings = SETTINGS.model_copy(update={"precision": "bfloat16", "batch_size": 384, "num_epochs": 6})
    observer = Recorder()
    train(training_of(model, table, None, observer, GPU, settings))
    losses = list(observer.series("train/total").values())
    assert len(losses) == 12
    assert losses[-1] < losses[0]
