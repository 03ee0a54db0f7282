"""Standardised scores: a training is the same whatever the unit of the scores, and its model answers in that unit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import CPU

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.predict import predict
from pkd_core.method.losses import squared_error_loss
from pkd_core.model.forward import Outputs
from pkd_core.teacher_states.reader import TeacherTargets
from pkd_core.training.loop import Training, train
from pkd_core.training.objective import Objective, batch_losses
from pkd_core.training.score_scale import ScoreScale

TABLE = make_table(40, score=True)


def in_unit(offset: float, size: float) -> TokenTable:
    assert TABLE.labels_R is not None
    return replace(TABLE, labels_R=(offset + size * TABLE.labels_R).astype(np.float32))


def trained(table: TokenTable) -> np.ndarray:
    """Train on standardised scores; return the predictions in the table's unit."""
    scale = ScoreScale.of(table)
    model = tiny_classifier(2, num_outputs=1, dropout=0.0)
    settings = TrainingConfig(num_epochs=2, batch_size=8, learning_rate=1e-3, precision="float32")
    train(
        Training(
            model,
            scale.standardized_table(table),
            table,
            settings,
            seed=1,
            metrics=("pearson",),
            is_regression=True,
            objective=None,
            save_best=lambda _: None,
            checkpoints=None,
            observer=Recorder(),
            device=CPU,
        )
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with scale.undone(model):
        _, logits = predict(model, table, CPU)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    return logits


def test_the_unit_of_the_scores_is_without_effect_but_on_the_answers() -> None:
    small, large = trained(in_unit(0.0, 1.0)), trained(in_unit(300.0, 40.0))
    np.testing.assert_allclose(large, 300 + 40 * small, rtol=1e-4)
    # A model of the scores as they are would still answer near 0.
    assert abs(large.mean() - 400) < 40


def test_scores_have_mean_0_and_deviation_1_and_missing_ones_stay_missing() -> None:
    table = in_unit(-1000.0, 7.0)
    scale = ScoreScale.of(table)
    found = scale.standardized_table(table).labels_R
    assert found is not None and found.dtype == np.float32
    assert (found.mean(), found.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, rel=1e-5))
    assert scale.standardized(torch.tensor([float("nan"), scale.mean])).isnan().tolist() == [True, False]


def test_the_teachers_scores_are_standardised_as_the_labels_are() -> None:
    student, teacher, labels = torch.tensor([[0.5], [-1.0]]), torch.tensor([[60.0], [30.0]]), torch.zeros(2)
    objective = Objective(
        alpha=0.25,
        temperature=1.0,
        distillation_reduction="batch_mean",
        teacher_states=None,  # type: ignore[arg-type]
        score_scale=ScoreScale(50.0, 20.0),
    )
    targets = TeacherTargets(teacher, torch.zeros(2, 0, 1))
    found = batch_losses(Outputs(student, torch.zeros(2, 1, 1)), labels, targets, objective, True)
    assert found.distillation is not None
    torch.testing.assert_close(found.distillation, squared_error_loss(student, torch.tensor([0.5, -1.0])))
    torch.testing.assert_close(found.total, 0.75 * student.square().mean())
