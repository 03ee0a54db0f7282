"""Dropout draws other masks at each step, micro-batch and seed; bfloat16 is really computed."""

import numpy as np
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import CPU, SETTINGS, run

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.predict import predict


def losses_with_fixed_weights(
    table: TokenTable, settings: TrainingConfig, dropout: float, seed: int
) -> list[float]:
    """Return the loss of each step of a training that does not move the weights."""
    observer = Recorder()
    frozen = settings.model_copy(update={"learning_rate": 1e-20, "weight_decay": 0.0})
    run(tiny_classifier(2, dropout=dropout), table, frozen, seed=seed, observer=observer)
    return list(observer.series("train/total").values())


def test_dropout_masks_differ_by_step_and_by_seed() -> None:
    # Each step is the same single example: without dropout all losses are the same.
    table, settings = make_table(1), SETTINGS.model_copy(update={"num_epochs": 4})
    _, logits = predict(tiny_classifier(2), table, CPU)
    assert table.labels_R is not None
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(table.labels_R))
    fixed = losses_with_fixed_weights(table, settings, dropout=0.0, seed=1)
    np.testing.assert_allclose(fixed, float(expected), rtol=1e-4)
    first, other = (losses_with_fixed_weights(table, settings, dropout=0.1, seed=seed) for seed in (1, 2))
    distances = np.diff(np.sort([float(expected), *first, *other]))
    assert distances.min() > 1e-5, "two steps have the same masks, or one has none"


def test_dropout_masks_differ_between_micro_batches() -> None:
    # Two copies of one example: with the same masks, the loss of both would be that of one alone.
    one = make_table(1)
    two = TokenTable(
        np.arange(2),
        np.array([0, one.offsets[1], 2 * one.offsets[1]]),
        np.tile(one.input_ids, 2),
        np.tile(one.second_starts_R, 2),
        np.tile(one.labels_R, 2),
    )
    settings = SETTINGS.model_copy(update={"accumulation_steps": 2})
    alone, both = (losses_with_fixed_weights(table, settings, dropout=0.1, seed=1) for table in (one, two))
    assert np.abs(np.array(alone) - both).min() > 1e-5


def test_bfloat16_changes_the_losses_by_its_rounding() -> None:
    table, losses = make_table(16), {}
    for precision in ("float32", "bfloat16"):
        settings = SETTINGS.model_copy(update={"precision": precision})
        losses[precision] = losses_with_fixed_weights(table, settings, dropout=0.0, seed=1)[0]
    assert 1e-6 < abs(losses["bfloat16"] - losses["float32"]) < 0.02


def test_bfloat16_training_learns_with_float32_weights_and_is_reported() -> None:
    settings = SETTINGS.model_copy(update={"precision": "bfloat16", "num_epochs": 15})
    model = tiny_classifier(2)
    table = make_table(64)
    result = run(model, table, settings, dev=table)
    assert result.precision == "bfloat16"
    assert result.best_score > 0.9
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
