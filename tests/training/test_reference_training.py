"""A complete training equals the same one written out with transformers' model, torch's AdamW and the paper's formulas.

The reference uses nothing of pkd: it pads its batches, runs transformers' own forward pass, clips with torch, and
computes order, schedule and losses by their formulas. Shape suffixes: B batch, C classes, M matched layers, D hidden
size, R rows of a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import Recorder, make_table, padded, tiny_classifier
from torch import Tensor
from trainings import CPU
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.method.layer_map import LayerMap
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training import loop
from pkd_core.training.loop import Training, train
from pkd_core.training.objective import Objective

SEED = 7
SETTINGS = TrainingConfig(
    learning_rate=2e-3,
    num_epochs=3,
    batch_size=8,
    warmup_fraction=0.25,
    weight_decay=0.1,
    precision="float32",
)


@dataclass(frozen=True)
class Distillation:
    """The values of an `Objective` apart from the teacher's states."""

    alpha: float
    temperature: float
    distillation_reduction: str
    beta: float = 0.0
    normalize: bool = True
    patience_reduction: str = "element_mean"
    layer_map: LayerMap = ()


@dataclass(frozen=True)
class Variant:
    """One training: of a random student of three layers, with a random teacher of four or without."""

    num_outputs: int = 2
    distillation: Distillation | None = None
    settings: TrainingConfig = SETTINGS

    @property
    def is_regression(self) -> bool:
        return self.num_outputs == 1


@dataclass
class Trace:
    """What can be compared of a training: lists hold one entry a step, or one an epoch."""

    losses: list[dict[str, float]] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    dev_logits: list[Tensor] = field(default_factory=list)
    weights: list[dict[str, Tensor]] = field(default_factory=list)


KD = Distillation(alpha=0.7, temperature=3.0, distillation_reduction="element_mean")
PKD = Distillation(
    alpha=0.4,
    temperature=5.0,
    distillation_reduction="batch_mean",
    beta=20.0,
    normalize=True,
    patience_reduction="element_mean",
    layer_map=((1, 2), (2, 3)),
)
VARIANTS = {
    "finetune": Variant(),
    "finetune, regression": Variant(num_outputs=1),
    "kd, element mean": Variant(3, KD),
    "kd, batch mean": Variant(3, replace(KD, distillation_reduction="batch_mean")),
    "pkd": Variant(2, PKD),
    "pkd, batch mean": Variant(2, replace(PKD, patience_reduction="batch_mean", beta=0.5)),
    "pkd, not normalized": Variant(
        3, replace(PKD, normalize=False, beta=0.5, distillation_reduction="element_mean")
    ),
    "pkd, descending map": Variant(2, replace(PKD, layer_map=((1, 4), (2, 1)))),
    "pkd, regression": Variant(1, PKD),
    "pkd, accumulated": Variant(2, PKD, SETTINGS.model_copy(update={"accumulation_steps": 3})),
    "pkd, clipped": Variant(2, PKD, SETTINGS.model_copy(update={"max_grad_norm": 0.1})),
    "finetune, no warm-up or decay": Variant(
        settings=SETTINGS.model_copy(
            update={"warmup_fraction": 0.0, "weight_decay": 0.0, "max_grad_norm": 0.5}
        )
    ),
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_training_equals_its_reference(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_table, dev_table = tables(variant.is_regression)
    teacher = tiny_classifier(4, seed=5, num_outputs=variant.num_outputs)
    reference = reference_training(variant, train_table, dev_table, teacher)
    trace, recorder = our_training(variant, train_table, dev_table, teacher, tmp_path, monkeypatch)

    clipped = [norm > variant.settings.max_grad_norm for norm in reference.gradient_norms]
    if variant.settings.max_grad_norm == 0.1:
        assert all(clipped)
    assert trace.losses[0].keys() == reference.losses[0].keys()
    for name in reference.losses[0]:
        ours, expected = ([step[name] for step in side.losses] for side in (trace, reference))
        np.testing.assert_allclose(ours, expected, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(trace.gradient_norms, reference.gradient_norms, rtol=1e-3)
    np.testing.assert_allclose(trace.learning_rates, reference.learning_rates, rtol=1e-9, atol=1e-15)
    recorded = list(recorder.series("train/learning_rate").values())
    np.testing.assert_allclose(recorded, reference.learning_rates, rtol=1e-9, atol=1e-15)
    assert dev_table.labels_R is not None
    scores = [dev_score(logits, dev_table.labels_R) for logits in reference.dev_logits]
    np.testing.assert_allclose(list(recorder.series("score").values()), scores, rtol=1e-4)
    improved = [epoch for epoch in range(len(scores)) if scores[epoch] > max(scores[:epoch], default=-np.inf)]
    compared = [reference.weights[epoch] for epoch in improved] + [reference.weights[-1]]
    assert len(trace.weights) == len(compared)
    initial = tiny_classifier(3, seed=3, num_outputs=variant.num_outputs).state_dict()
    for weights, expected_weights in zip(trace.weights, compared, strict=True):
        assert_updates_agree(weights, expected_weights, initial)
        assert_unused_words_decayed(weights, expected_weights, train_table)


def assert_updates_agree(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], initial: Mapping[str, Tensor]
) -> None:
    """Compare how far training moved each tensor: AdamW enlarges rounding where a gradient is nearly zero."""
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        # The softmax cancels the keys' biases: their gradients are rounding alone.
        if not name.endswith("key.bias"):
            error = torch.linalg.vector_norm(weights[name] - value)
            distance = torch.linalg.vector_norm(value - initial[name])
            assert error <= 1e-3 * distance, f"{name}: {float(error / distance):.1e}"


def assert_unused_words_decayed(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], train_table: TokenTable
) -> None:
    """Compare the embeddings of words that no batch holds: weight decay alone moves them."""
    name = "bert.embeddings.word_embeddings.weight"
    unused = np.setdiff1d(np.arange(len(expected[name])), train_table.input_ids)
    assert len(unused) > 40
    torch.testing.assert_close(weights[name][unused], expected[name][unused], rtol=1e-6, atol=1e-8)


def tables(is_regression: bool) -> tuple[TokenTable, TokenTable]:
    """Return train and dev of different content; dev has words that train lacks, and some words are in neither."""
    train_table = make_table(29, seed=1, score=is_regression, first_id=100)
    dev_table = make_table(40, seed=2, score=is_regression)
    train_table.input_ids[train_table.input_ids >= 60] -= 40
    dev_table.input_ids[dev_table.input_ids >= 80] -= 30
    return train_table, dev_table


def our_training(
    variant: Variant,
    train_table: TokenTable,
    dev_table: TokenTable,
    teacher: BertForSequenceClassification,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Trace, Recorder]:
    """Train through the public function; the optimizer is observed at each step."""
    trace, recorder = Trace(), Recorder()
    make_step = loop.clipped_step

    def observed_step(optimizer: torch.optim.AdamW, max_norm: float) -> Tensor:
        rates = {group["lr"] for group in optimizer.param_groups}
        assert len(rates) == 1
        trace.learning_rates += rates
        norm = make_step(optimizer, max_norm)
        trace.gradient_norms.append(float(norm))
        return norm

    monkeypatch.setattr(loop, "clipped_step", observed_step)
    objective = None
    if variant.distillation is not None:
        extract(teacher, train_table, folder, "float32", Recorder(), device=CPU)
        values: dict[str, Any] = vars(variant.distillation)
        objective = Objective(**values, teacher_states=TeacherStates.open(folder))
    model = tiny_classifier(3, seed=3, dropout=0.0, num_outputs=variant.num_outputs)
    train(
        Training(
            model,
            train_table,
            dev_table,
            variant.settings,
            seed=SEED,
            metrics=("pearson", "spearman") if variant.is_regression else ("accuracy", "f1"),
            is_regression=variant.is_regression,
            objective=objective,
            save_best=lambda best: trace.weights.append(copied_weights(best)),
            checkpoints=None,
            observer=recorder,
            device=CPU,
        )
    )
    trace.weights.append(copied_weights(model))
    for _, values in recorder.metrics_seen:
        losses = {name.removeprefix("train/"): value for name, value in values.items()}
        if "total" in losses:
            trace.losses.append({name: value for name, value in losses.items() if name != "learning_rate"})
    return trace, recorder


def reference_training(
    variant: Variant, train_table: TokenTable, dev_table: TokenTable, teacher: BertForSequenceClassification
) -> Trace:
    """Train as the paper and README describe it, with transformers and torch alone."""
    trace, settings = Trace(), variant.settings
    model = tiny_classifier(3, seed=3, dropout=0.0, num_outputs=variant.num_outputs).train()
    spared = ("bias", "LayerNorm.weight")
    decayed = [weight for name, weight in model.named_parameters() if not name.endswith(spared)]
    others = [weight for name, weight in model.named_parameters() if name.endswith(spared)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        fused=False,
    )
    steps_per_epoch = -(-len(train_table) // settings.batch_size)
    num_steps = settings.num_epochs * steps_per_epoch
    num_warmup_steps = round(settings.warmup_fraction * num_steps)
    for epoch in range(1, settings.num_epochs + 1):
        order = epoch_order(len(train_table), epoch)
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            done = len(trace.losses)
            rising = done / num_warmup_steps if num_warmup_steps else 1.0
            falling = (num_steps - done) / (num_steps - num_warmup_steps)
            rate = settings.learning_rate * min(rising, falling)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = reference_losses(variant, model, teacher, train_table, rows)
            optimizer.zero_grad()
            losses["total"].backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            optimizer.step()
            trace.losses.append({name: float(value.detach()) for name, value in losses.items()})
            trace.learning_rates.append(rate)
            trace.gradient_norms.append(float(norm))
        with torch.no_grad():
            trace.dev_logits.append(model(**padded(dev_table, range(len(dev_table)))).logits)
        trace.weights.append(copied_weights(model))
    return trace


def epoch_order(num_rows: int, epoch: int) -> list[int]:
    """Return the order of an epoch's examples: a permutation seeded by the training's seed and the epoch's number."""
    mixed = int(np.random.SeedSequence((SEED, epoch)).generate_state(1)[0])
    order: list[int] = torch.randperm(num_rows, generator=torch.Generator().manual_seed(mixed)).tolist()
    return order


def reference_losses(
    variant: Variant,
    model: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    table: TokenTable,
    rows: list[int],
) -> dict[str, Tensor]:
    """Return the formulas' losses of a batch, with both models run by transformers."""
    student_out = model(**padded(table, rows), output_hidden_states=True)
    assert table.labels_R is not None
    labels_B, student_BC = torch.from_numpy(table.labels_R[rows]), student_out.logits
    if variant.is_regression:
        hard = ((student_BC[:, 0] - labels_B) ** 2).mean()
    else:
        hard = -student_BC.log_softmax(-1)[torch.arange(len(rows)), labels_B].mean()
    goal = variant.distillation
    if goal is None:
        return {"total": hard, "cross_entropy": hard}
    with torch.no_grad():
        teacher_out = teacher(**padded(table, rows), output_hidden_states=True)
    teacher_BC = teacher_out.logits
    if variant.is_regression:
        soft = ((student_BC - teacher_BC) ** 2).mean()
    else:
        p_BC = (teacher_BC / goal.temperature).softmax(-1)
        log_q_BC = (student_BC / goal.temperature).log_softmax(-1)
        divergence = (p_BC * (p_BC.log() - log_q_BC)).sum() * goal.temperature**2
        soft = divergence / (
            student_BC.numel() if goal.distillation_reduction == "element_mean" else len(rows)
        )
    losses = {
        "total": (1 - goal.alpha) * hard + goal.alpha * soft,
        "cross_entropy": hard,
        "distillation": soft,
    }
    if goal.beta:
        patience = reference_patience(goal, student_out.hidden_states, teacher_out.hidden_states)
        losses |= {"total": losses["total"] + goal.beta * patience, "patience": patience}
    return losses


def reference_patience(
    goal: Distillation, student_hidden: tuple[Tensor, ...], teacher_hidden: tuple[Tensor, ...]
) -> Tensor:
    """Return the squared distance of the matched layers' [CLS] states; `hidden[0]` is the embeddings."""
    student_BMD = torch.stack([student_hidden[student][:, 0] for student, _ in goal.layer_map], 1)
    teacher_BMD = torch.stack([teacher_hidden[teacher][:, 0] for _, teacher in goal.layer_map], 1)
    if goal.normalize:
        student_BMD = student_BMD / student_BMD.norm(dim=-1, keepdim=True)
        teacher_BMD = teacher_BMD / teacher_BMD.norm(dim=-1, keepdim=True)
    squared = ((student_BMD - teacher_BMD) ** 2).sum()
    return squared / (student_BMD.numel() if goal.patience_reduction == "element_mean" else len(student_BMD))


def dev_score(logits: Tensor, labels_R: np.ndarray) -> float:
    """Return accuracy, or Pearson's correlation where there is one output."""
    if logits.shape[1] == 1:
        return float(np.corrcoef(logits[:, 0], labels_R)[0, 1])
    return float((logits.argmax(-1).numpy() == labels_R).mean())


def copied_weights(model: BertForSequenceClassification) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
