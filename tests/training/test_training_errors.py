"""A training that cannot continue is an error that names step, examples and the last good checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier, tiny_config
from trainings import SETTINGS, objective, run
from transformers import BertForSequenceClassification

from pkd_core.errors import ModelError, StoreError, TrainingError
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.projections import Projections


def test_a_loss_that_is_not_finite_is_an_error_with_step_learning_rate_and_examples() -> None:
    table, observer = make_table(100, score=True, first_id=500), Recorder()
    assert table.labels_R is not None
    table.labels_R[77] = np.nan
    saved: list[object] = []
    with pytest.raises(TrainingError, match=r"cross_entropy nan.*learning rate.*\b577\b") as caught:
        run(
            tiny_classifier(2, num_outputs=1),
            table,
            SETTINGS.model_copy(update={"batch_size": 4}),
            observer=observer,
            save_best=saved.append,
            score=True,
        )
    step = int(str(caught.value).split()[1].rstrip(":"))
    assert list(observer.series("train/total")) == list(range(1, step))
    assert not saved


def test_a_training_that_diverges_later_names_the_last_good_checkpoint_also_when_resumed(
    tmp_path: Path,
) -> None:
    table = make_table(64, score=True)
    assert table.labels_R is not None
    settings = SETTINGS.model_copy(update={"batch_size": 8})

    class CorruptLabels(Recorder):
        """Corrupts all labels after the first epoch's checkpoint."""

        def flush(self) -> None:
            super().flush()
            table.labels_R[:] = np.nan

    for observer in (CorruptLabels(), Recorder()):  # the second training resumes
        with pytest.raises(TrainingError) as caught:
            run(
                tiny_classifier(2, num_outputs=1),
                table,
                settings,
                dev=make_table(16, score=True),
                observer=observer,
                checkpoints=Checkpoints(tmp_path, tmp_path, 1e9),
                score=True,
            )
        advice = "lower the learning rate, or check these examples"
        where = f"the last good checkpoint, of step 8, is {tmp_path}/checkpoint"
        assert str(caught.value).endswith(f"; {advice}; {where}")
        assert Checkpoints(tmp_path, tmp_path, 1e9).load() is not None


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_a_diverging_training_stops_before_it_saves(tmp_path: Path, has_checkpoints: bool) -> None:
    saved: list[object] = []
    checkpoints = Checkpoints(tmp_path, tmp_path, 1e9) if has_checkpoints else None
    model = tiny_classifier(2)
    with torch.no_grad():
        model.classifier.weight.fill_(3e38)
    with pytest.raises(TrainingError, match=r"step 1: expected finite losses.* there is no checkpoint yet"):
        run(model, make_table(32), save_best=saved.append, checkpoints=checkpoints)
    assert not saved
    assert list(tmp_path.iterdir()) == []


def test_states_that_do_not_fit_the_student_are_an_error(tmp_path: Path) -> None:
    table = make_table(8)
    goal = objective(tmp_path, table)
    with pytest.raises(ModelError) as caught:
        run(tiny_classifier(2, num_outputs=3), table, objective=goal)
    assert str(caught.value) == (
        "expected a student with the teacher's 2 outputs, got 3; train teacher and student on the same task"
    )
    for pair in ((2, 5), (3, 4), (0, 1), (1, 0)):
        other = replace(goal, layer_map=((1, 2), pair))
        with pytest.raises(ModelError) as caught:
            run(tiny_classifier(2), table, objective=other)
        assert str(caught.value) == (
            f"expected matched layers up to (2, 4), got {pair}; build the layer map for these depths"
        )
    wide = BertForSequenceClassification(tiny_config(2, hidden_size=48))
    with pytest.raises(ModelError) as caught:
        run(wide, table, objective=goal)
    assert str(caught.value) == (
        "expected a student with the teacher's hidden size 32 or projections to it, got 48; take both from one "
        "pretrained model, or set distill.beta=0"
    )
    narrower = replace(goal, projections=Projections(1, 40, 32, seed=0))
    with pytest.raises(ModelError, match="hidden size 32 or projections to it, got 48"):
        run(wide, table, objective=narrower)


def test_states_of_other_examples_are_an_error(tmp_path: Path) -> None:
    goal = objective(tmp_path, make_table(8))
    with pytest.raises(StoreError, match="found none"):
        run(tiny_classifier(2), make_table(8, first_id=100), objective=goal)


def test_an_error_names_the_step_at_which_the_metrics_are_not_finite_and_earlier_steps_are_recorded() -> None:
    buffer_size = 20
    table, observer = make_table(4 * (buffer_size + 5), score=True), Recorder()
    assert table.labels_R is not None
    order = np.concatenate([rows.numpy() for rows in epoch_batches(len(table), 4, seed=1)])
    table.labels_R[order[4 * (buffer_size + 2)]] = np.inf
    settings = SETTINGS.model_copy(update={"batch_size": 4, "num_epochs": 1})
    with pytest.raises(TrainingError, match=rf"^step {buffer_size + 3}: .* gradient norm (nan|inf)"):
        run(tiny_classifier(2, num_outputs=1), table, settings, observer=observer, score=True)
    assert list(observer.series("train/total")) == list(range(1, buffer_size + 3))


def epoch_batches(num_rows: int, batch_size: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Return the rows of each step of the first epoch."""
    mixed = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(mixed))
    return order.split(batch_size)
