"""A complete training through the public function equals its reference, in losses, rates, norms, scores and weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference_training import (
    SEED,
    SETTINGS,
    Distillation,
    Trace,
    Variant,
    copied_weights,
    reference_training,
)
from tiny_bert import Recorder, make_table, tiny_classifier
from torch import Tensor
from trainings import CPU
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training import steps
from pkd_core.training.loop import Training, train
from pkd_core.training.objective import Objective
from pkd_core.training.optimizer import update

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
RELEASED = SETTINGS.model_copy(
    update={"optimizer": "bert-adam", "shuffle": False, "schedule": "full-batches", "max_grad_norm": 0.2}
)
VARIANTS = {
    "finetune": Variant(),
    "finetune, regression": Variant(num_outputs=1),
    "kd, element mean": Variant(3, KD),
    "kd, batch mean": Variant(3, replace(KD, distillation_reduction="batch_mean")),
    "kd, squared logits": Variant(3, replace(KD, distillation_loss="logits-mse")),
    "kd, decoupled": Variant(3, replace(KD, distillation_loss="dkd", dkd_other_weight=2.0)),
    "pkd, decoupled": Variant(2, replace(PKD, distillation_loss="dkd", dkd_target_weight=0.5)),
    "pkd": Variant(2, PKD),
    "pkd, batch mean": Variant(2, replace(PKD, patience_reduction="batch_mean", beta=0.5)),
    "pkd, not normalized": Variant(
        3, replace(PKD, normalize=False, beta=0.5, distillation_reduction="element_mean")
    ),
    "pkd, descending map": Variant(2, replace(PKD, layer_map=((1, 4), (3, 1)))),
    "pkd, regression": Variant(1, PKD),
    "pkd, accumulated": Variant(2, PKD, SETTINGS.model_copy(update={"accumulation_steps": 3})),
    "pkd, clipped": Variant(2, PKD, SETTINGS.model_copy(update={"max_grad_norm": 0.1})),
    "finetune, as released": Variant(settings=RELEASED),
    "pkd, as released": Variant(2, replace(PKD, distillation_reduction="element_mean", beta=100.0), RELEASED),
    "kd, each tensor clipped": Variant(3, KD, RELEASED.model_copy(update={"max_grad_norm": 0.02})),
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
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(trace.gradient_norms, reference.gradient_norms, rtol=1e-3)
    np.testing.assert_allclose(trace.learning_rates, reference.learning_rates, rtol=1e-9, atol=1e-15)
    recorded = list(recorder.series("train/learning_rate").values())
    np.testing.assert_allclose(recorded, reference.learning_rates, rtol=1e-9, atol=1e-15)
    assert dev_table.labels_R is not None
    scores = [dev_score(logits, dev_table.labels_R) for logits in reference.dev_logits]
    selecting = "dev/pearson" if variant.is_regression else "dev/accuracy"
    np.testing.assert_allclose(list(recorder.series(selecting).values()), scores, rtol=1e-4)
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

    def observed_update(*arguments: Any) -> Tensor:
        trace.learning_rates.append(arguments[0].param_groups[0]["lr"])
        norm = update(*arguments)
        trace.gradient_norms.append(float(norm))
        return norm

    monkeypatch.setattr(steps, "update", observed_update)
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


def dev_score(logits: Tensor, labels_R: np.ndarray) -> float:
    """Return accuracy, or Pearson's correlation where there is one output."""
    if logits.shape[1] == 1:
        return float(np.corrcoef(logits[:, 0], labels_R)[0, 1])
    return float((logits.argmax(-1).numpy() == labels_R).mean())
