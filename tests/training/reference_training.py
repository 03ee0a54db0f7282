"""A complete training written out with transformers' model, the paper's formulas, and torch's AdamW or BertAdam.

It uses nothing of pkd: it pads its batches, runs transformers' own forward pass, clips with torch, and computes order,
schedule and losses by their formulas. Shape suffixes: B batch, C classes, M matched layers, D hidden size.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from tiny_bert import padded, tiny_classifier
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.method.layer_map import LayerMap

SEED = 7
SPARED = ("bias", "LayerNorm.weight")
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
    distillation_loss: str = "kl"
    dkd_target_weight: float = 1.0
    dkd_other_weight: float = 8.0
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


def reference_training(
    variant: Variant, train_table: TokenTable, dev_table: TokenTable, teacher: BertForSequenceClassification
) -> Trace:
    """Train as the paper and README describe it, with transformers and torch alone."""
    trace, settings = Trace(), variant.settings
    model = tiny_classifier(3, seed=3, dropout=0.0, num_outputs=variant.num_outputs).train()
    is_release = settings.optimizer == "bert-adam"
    optimizer = ReleasedOptimizer(model, settings) if is_release else ModernOptimizer(model, settings)
    schedule = released_rate if settings.schedule == "full-batches" else modern_rate
    for epoch in range(1, settings.num_epochs + 1):
        order = epoch_order(len(train_table), epoch) if settings.shuffle else list(range(len(train_table)))
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            rate = schedule(len(trace.losses), len(train_table), settings)
            losses = reference_losses(variant, model, teacher, train_table, rows)
            model.zero_grad()
            losses["total"].backward()
            trace.gradient_norms.append(global_norm(model))
            optimizer.step(rate)
            trace.losses.append({name: float(value.detach()) for name, value in losses.items()})
            trace.learning_rates.append(rate)
        with torch.no_grad():
            trace.dev_logits.append(model(**padded(dev_table, range(len(dev_table)))).logits)
        trace.weights.append(copied_weights(model))
    return trace


def modern_rate(done: int, num_examples: int, settings: TrainingConfig) -> float:
    """Return the rate after `done` steps: linear up to the peak, then down to 0 at the training's end."""
    num_steps = settings.num_epochs * -(-num_examples // settings.batch_size)
    num_warmup_steps = round(settings.warmup_fraction * num_steps)
    rising = done / num_warmup_steps if num_warmup_steps else 1.0
    falling = (num_steps - done) / (num_steps - num_warmup_steps)
    return settings.learning_rate * min(rising, falling)


def released_rate(done: int, num_examples: int, settings: TrainingConfig) -> float:
    """Return the rate of the release: a function of progress, in which steps are counted by full batches."""
    progress = done / (settings.num_epochs * int(num_examples / settings.batch_size))
    if progress < settings.warmup_fraction:
        return settings.learning_rate * progress / settings.warmup_fraction
    return settings.learning_rate * max((progress - 1.0) / (settings.warmup_fraction - 1.0), 0.0)


class ModernOptimizer:
    """torch's AdamW, and one limit for the norm of all gradients."""

    def __init__(self, model: BertForSequenceClassification, settings: TrainingConfig) -> None:
        self.model, self.settings = model, settings
        decayed = [weight for name, weight in model.named_parameters() if not name.endswith(SPARED)]
        others = [weight for name, weight in model.named_parameters() if name.endswith(SPARED)]
        groups = [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=False)

    def step(self, rate: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()


class ReleasedOptimizer:
    """BertAdam, written out: m and v are plain running means, and the decay is part of the step."""

    def __init__(self, model: BertForSequenceClassification, settings: TrainingConfig) -> None:
        self.model, self.settings = model, settings
        self.first = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
        self.second = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for name, weight in self.model.named_parameters():
            assert weight.grad is not None
            gradient = weight.grad * min(
                1.0, self.settings.max_grad_norm / (float(weight.grad.norm()) + 1e-6)
            )
            self.first[name] = 0.9 * self.first[name] + 0.1 * gradient
            self.second[name] = 0.999 * self.second[name] + 0.001 * gradient**2
            step = self.first[name] / (self.second[name].sqrt() + 1e-6)
            decay = 0.0 if name.endswith(SPARED) else self.settings.weight_decay
            weight.sub_(rate * (step + decay * weight))


def global_norm(model: BertForSequenceClassification) -> float:
    """Return the L2 norm of all gradients together."""
    squares = [
        float(weight.grad.double().square().sum()) for weight in model.parameters() if weight.grad is not None
    ]
    return sum(squares) ** 0.5


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
        distance = reference_distance(goal, student_BC, teacher_BC, labels_B)
        soft = distance / (student_BC.numel() if goal.distillation_reduction == "element_mean" else len(rows))
    losses = {
        "total": (1 - goal.alpha) * hard + goal.alpha * soft,
        "cross_entropy": hard,
        "distillation": soft,
    }
    if goal.beta:
        patience = reference_patience(goal, student_out.hidden_states, teacher_out.hidden_states)
        losses |= {"total": losses["total"] + goal.beta * patience, "patience": patience}
    return losses


def reference_distance(
    goal: Distillation, student_BC: Tensor, teacher_BC: Tensor, labels_B: Tensor
) -> Tensor:
    """Return the distance of the logits, summed over examples and classes; a target of -1 is the teacher's choice."""
    if goal.distillation_loss == "logits-mse":
        return ((student_BC - teacher_BC) ** 2).sum()
    p_BC, q_BC = ((logits / goal.temperature).softmax(-1) for logits in (teacher_BC, student_BC))
    if goal.distillation_loss == "kl":
        return (p_BC * (p_BC.log() - q_BC.log())).sum() * goal.temperature**2
    total = torch.zeros(())
    for p, q, label in zip(p_BC, q_BC, labels_B.tolist(), strict=True):
        target = int(p.argmax()) if label < 0 else label
        rest = [position for position in range(len(p)) if position != target]
        p_two, q_two = (torch.stack([one[target], one[rest].sum()]) for one in (p, q))
        p_rest, q_rest = p[rest] / p[rest].sum(), q[rest] / q[rest].sum()
        total = total + goal.dkd_target_weight * (p_two * (p_two / q_two).log()).sum()
        total = total + goal.dkd_other_weight * (p_rest * (p_rest / q_rest).log()).sum()
    return total * goal.temperature**2


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


def copied_weights(model: BertForSequenceClassification) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
