"""The loop learns, repeats bit for bit, keeps the best epoch, and says where a training broke."""

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import CPU, SETTINGS, objective, run

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ModelError, StoreError, TrainingError
from pkd_core.evaluation.predict import predict
from pkd_core.training.checkpoints import Checkpoints


def weights_after(
    table: TokenTable, settings: TrainingConfig, dropout: float = 0.1, seed: int = 1
) -> torch.Tensor:
    model = tiny_classifier(num_layers=2, dropout=dropout)
    run(model, table, settings, seed=seed)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_training_overfits_a_small_set() -> None:
    table = make_table(64)
    result = run(tiny_classifier(num_layers=2), table, SETTINGS.model_copy(update={"num_epochs": 15}))
    assert result.best_score == 1.0
    assert result.history[-1]["train/total"] < 0.1


def test_regression_overfits_a_small_set() -> None:
    table = make_table(64, score=True)
    settings = SETTINGS.model_copy(update={"num_epochs": 40})
    result = run(tiny_classifier(num_layers=2, num_outputs=1), table, settings, score=True)
    assert result.best_score > 0.95


def test_same_seed_same_weights_bit_for_bit() -> None:
    table = make_table(50)
    first, again, other = (weights_after(table, SETTINGS, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_seed_alone_changes_the_order() -> None:
    table = make_table(50)
    first, other = (weights_after(table, SETTINGS, dropout=0.0, seed=seed) for seed in (1, 2))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("accumulation_steps", [2, 3, 16, 40])
def test_accumulation_equals_the_large_batch_even_in_unequal_parts(accumulation_steps: int) -> None:
    table = make_table(37)
    whole = weights_after(table, SETTINGS, dropout=0.0)
    settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps})
    difference = (weights_after(table, settings, dropout=0.0) - whole).abs()
    # Adam blows rounding up where a gradient is nearly 0; parts weighed wrongly would give a mean of 1e-4.
    assert difference.mean() < 1e-6
    assert difference.max() < 1e-3


def test_accumulated_losses_are_those_of_the_large_batch(tmp_path: Path) -> None:
    table = make_table(37)
    series = []
    for accumulation_steps in (1, 3):
        observer = Recorder()
        settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps})
        goal = objective(tmp_path / str(accumulation_steps), table)
        run(tiny_classifier(2, dropout=0.0), table, settings, objective=goal, observer=observer)
        series.append([list(values.values()) for _, values in observer.metrics_seen])
    np.testing.assert_allclose(
        list(itertools.chain(*series[0])), list(itertools.chain(*series[1])), rtol=1e-3
    )


def test_every_step_is_told_with_its_number_parts_and_rate(tmp_path: Path) -> None:
    table, observer = make_table(100), Recorder()
    settings = SETTINGS.model_copy(update={"batch_size": 4})
    goal = objective(tmp_path, table)
    result = run(tiny_classifier(2), table, settings, objective=goal, observer=observer)
    assert result.num_steps == 50
    parts = [
        observer.series(f"train/{name}") for name in ("total", "cross_entropy", "distillation", "patience")
    ]
    for values in (*parts, observer.series("train/learning_rate")):
        assert list(values) == list(range(1, 51))
    for step, total in parts[0].items():
        assert total == pytest.approx(
            0.5 * parts[1][step] + 0.5 * parts[2][step] + 100 * parts[3][step], rel=1e-4
        )
    assert list(dict.fromkeys(observer.progress_seen)) == [(step, 50, "steps") for step in range(1, 51)]
    assert list(observer.series("score")) == list(observer.series("dev/accuracy")) == [25, 50]
    assert list(observer.series("dev/f1")) == [25, 50]
    first_epoch = np.mean([parts[0][step] for step in range(1, 26)])
    assert result.history[0]["train/total"] == pytest.approx(first_epoch)
    assert result.history[1]["score"] == observer.series("score")[50]


def test_plain_finetuning_tells_no_teacher_losses() -> None:
    observer = Recorder()
    run(tiny_classifier(2), make_table(8), observer=observer)
    assert set(observer.metrics_seen[0][1]) == {"train/total", "train/cross_entropy", "train/learning_rate"}


def test_last_partial_batch_is_learnt_from() -> None:
    result = run(tiny_classifier(2), make_table(17))
    assert result.num_steps == 2 * 2


def test_distillation_reduces_the_patience_loss(tmp_path: Path) -> None:
    table, observer = make_table(64), Recorder()
    goal = objective(tmp_path, table, layer_map=((1, 2), (2, 3)))
    settings = SETTINGS.model_copy(update={"num_epochs": 10})
    run(tiny_classifier(3), table, settings, objective=goal, observer=observer)
    patience = list(observer.series("train/patience").values())
    assert np.mean(patience[-4:]) < 0.5 * np.mean(patience[:4])


def test_pure_distillation_teaches_the_teachers_answers(tmp_path: Path) -> None:
    table = make_table(64)
    goal = objective(tmp_path, table, alpha=1.0, beta=0.0, temperature=1.0)
    taught = goal.teacher_states.gather(torch.arange(64), []).logits_BC.softmax(-1)
    model = tiny_classifier(3, dropout=0.0)
    run(model, table, SETTINGS.model_copy(update={"num_epochs": 20}), objective=goal)
    _, learnt = predict(model, table, CPU)
    errors = (torch.from_numpy(learnt).softmax(-1) - taught).abs()
    assert errors.mean() < 0.3 * (taught - taught.mean(0)).abs().mean()


def test_regression_distils_by_squared_error(tmp_path: Path) -> None:
    table, observer = make_table(8, score=True), Recorder()
    goal = objective(tmp_path, table, num_outputs=1, temperature=20.0)
    model = tiny_classifier(2, num_outputs=1, dropout=0.0)
    _, before = predict(model, table, CPU)
    run(model, table, objective=goal, observer=observer, score=True)
    teacher = goal.teacher_states.gather(torch.arange(8), []).logits_BC.numpy()
    assert table.labels_R is not None
    first = observer.metrics_seen[0][1]
    assert first["train/distillation"] == pytest.approx(((before - teacher) ** 2).mean(), rel=1e-3)
    assert first["train/cross_entropy"] == pytest.approx(
        ((before[:, 0] - table.labels_R) ** 2).mean(), rel=1e-3
    )


def test_order_of_the_stored_states_does_not_matter(tmp_path: Path) -> None:
    table = make_table(24)
    back = np.arange(24)[::-1]
    reversed_table = copy.copy(table)
    pieces = [table.input_ids[table.offsets[row] : table.offsets[row + 1]] for row in back]
    object.__setattr__(reversed_table, "input_ids", np.concatenate(pieces))
    object.__setattr__(reversed_table, "offsets", np.concatenate([[0], np.cumsum([len(p) for p in pieces])]))
    for name in ("example_ids_R", "second_starts_R", "labels_R"):
        object.__setattr__(reversed_table, name, getattr(table, name)[back])
    series = []
    for name, stored in (("forward", table), ("backward", reversed_table)):
        observer = Recorder()
        run(tiny_classifier(2), table, objective=objective(tmp_path / name, stored), observer=observer)
        series.append(list(observer.series("train/total").values()))
    np.testing.assert_allclose(*series, rtol=1e-3)


def test_best_epoch_is_kept_and_of_equals_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.7, 0.7, 0.6])
    monkeypatch.setattr(
        "pkd_core.training.loop._dev_scores", lambda *_: {"accuracy": next(scores), "f1": 0.0}
    )
    saved: list[torch.Tensor] = []
    model = tiny_classifier(2)
    result = run(
        model,
        make_table(16),
        SETTINGS.model_copy(update={"num_epochs": 4}),
        save_best=lambda best: saved.append(best.classifier.weight.detach().clone()),
    )
    assert len(saved) == 2
    assert (result.best_epoch, result.best_score) == (2, 0.7)
    assert [entry["score"] for entry in result.history] == [0.5, 0.7, 0.7, 0.6]
    assert not torch.equal(saved[1], model.classifier.weight)


def test_a_loss_that_is_not_finite_names_step_rate_and_examples() -> None:
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


def test_a_training_that_explodes_later_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    table = make_table(64, score=True)
    assert table.labels_R is not None
    settings = SETTINGS.model_copy(update={"batch_size": 8})

    class Spoil(Recorder):
        """Spoils all labels after the first epoch's checkpoint."""

        def flush(self) -> None:
            super().flush()
            table.labels_R[:] = np.nan

    with pytest.raises(TrainingError) as caught:
        run(
            tiny_classifier(2, num_outputs=1),
            table,
            settings,
            dev=make_table(16, score=True),
            observer=Spoil(),
            checkpoints=Checkpoints(tmp_path, 1e9),
            score=True,
        )
    assert str(caught.value).endswith(f"the last good checkpoint, of step 8, is {tmp_path}/checkpoint")
    assert Checkpoints(tmp_path, 1e9).load() is not None


def test_an_exploding_training_stops_before_it_saves() -> None:
    saved: list[object] = []
    model = tiny_classifier(2)
    with torch.no_grad():
        model.classifier.weight.fill_(3e38)
    with pytest.raises(TrainingError, match=r"step 1: expected finite losses.* there is no checkpoint yet"):
        run(model, make_table(32), save_best=saved.append)
    assert not saved


def test_bfloat16_trains_and_is_reported() -> None:
    settings = SETTINGS.model_copy(update={"precision": "bfloat16", "num_epochs": 15})
    model = tiny_classifier(2)
    result = run(model, make_table(64), settings)
    assert result.precision == "bfloat16"
    assert result.best_score > 0.9
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_states_that_do_not_fit_the_student_are_refused(tmp_path: Path) -> None:
    table = make_table(8)
    goal = objective(tmp_path, table)
    with pytest.raises(ModelError, match="outputs"):
        run(tiny_classifier(2, num_outputs=3), table, objective=goal)
    for layer_map in (((2, 5),), ((3, 4),), ((0, 1),)):
        other = objective(tmp_path, table, layer_map=layer_map)
        with pytest.raises(ModelError, match="matched layers"):
            run(tiny_classifier(2), table, objective=other)
    wide = copy.deepcopy(tiny_classifier(2))
    wide.config.hidden_size = 48
    with pytest.raises(ModelError, match="hidden size"):
        run(wide, table, objective=goal)


def test_states_of_other_examples_are_refused(tmp_path: Path) -> None:
    goal = objective(tmp_path, make_table(8))
    with pytest.raises(StoreError, match="found none"):
        run(tiny_classifier(2), make_table(8, first_id=100), objective=goal)
