"""The loop learns, is reproducible bit for bit, keeps the best epoch, and reports where a training failed."""

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
from pkd_core.training.loop import Training, train


def weights_after(
    table: TokenTable, settings: TrainingConfig, dropout: float = 0.1, seed: int = 1
) -> torch.Tensor:
    model = tiny_classifier(num_layers=2, dropout=dropout)
    run(model, table, settings, seed=seed)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_training_overfits_a_small_set() -> None:
    table = make_table(64)
    settings = SETTINGS.model_copy(update={"num_epochs": 15})
    result = run(tiny_classifier(num_layers=2), table, settings, dev=table)
    assert result.best_score == 1.0
    assert result.history[-1]["train/total"] < 0.1


def test_regression_overfits_a_small_set() -> None:
    table = make_table(64, score=True)
    settings = SETTINGS.model_copy(update={"num_epochs": 40})
    result = run(tiny_classifier(num_layers=2, num_outputs=1), table, settings, dev=table, score=True)
    assert result.best_score > 0.95


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    table = make_table(50)
    first, again, other = (weights_after(table, SETTINGS, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_dropout_the_seed_still_changes_the_order() -> None:
    table = make_table(50)
    first, other = (weights_after(table, SETTINGS, dropout=0.0, seed=seed) for seed in (1, 2))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("accumulation_steps", [2, 3, 16, 40])
def test_accumulation_equals_the_full_batch_also_with_unequal_micro_batches(accumulation_steps: int) -> None:
    table = make_table(37)
    expected = weights_after(table, SETTINGS, dropout=0.0)
    settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps})
    difference = (weights_after(table, settings, dropout=0.0) - expected).abs()
    # Adam enlarges rounding where a gradient is nearly 0; wrong weights of micro-batches would give a mean of 1e-4.
    assert difference.mean() < 1e-6
    assert difference.max() < 1e-3


def test_accumulated_losses_equal_those_of_the_full_batch(tmp_path: Path) -> None:
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


def test_every_step_is_recorded_with_its_number_loss_parts_and_learning_rate(tmp_path: Path) -> None:
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


def test_plain_finetuning_records_no_teacher_losses() -> None:
    observer = Recorder()
    run(tiny_classifier(2), make_table(8), observer=observer)
    assert set(observer.metrics_seen[0][1]) == {"train/total", "train/cross_entropy", "train/learning_rate"}


def test_the_last_smaller_batch_is_trained_on() -> None:
    result = run(tiny_classifier(2), make_table(17))
    assert result.num_steps == 2 * 2


def test_distillation_reduces_the_patience_loss(tmp_path: Path) -> None:
    table, observer = make_table(64), Recorder()
    goal = objective(tmp_path, table, layer_map=((1, 2), (2, 3)))
    settings = SETTINGS.model_copy(update={"num_epochs": 10})
    run(tiny_classifier(3), table, settings, objective=goal, observer=observer)
    patience = list(observer.series("train/patience").values())
    assert np.mean(patience[-4:]) < 0.5 * np.mean(patience[:4])


def test_pure_distillation_reproduces_the_teachers_probabilities(tmp_path: Path) -> None:
    table = make_table(64)
    goal = objective(tmp_path, table, alpha=1.0, beta=0.0, temperature=1.0)
    expected = goal.teacher_states.gather(torch.arange(64), []).logits_BC.softmax(-1)
    model = tiny_classifier(3, dropout=0.0)
    run(model, table, SETTINGS.model_copy(update={"num_epochs": 20}), objective=goal)
    _, logits = predict(model, table, CPU)
    errors = (torch.from_numpy(logits).softmax(-1) - expected).abs()
    assert errors.mean() < 0.3 * (expected - expected.mean(0)).abs().mean()


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


def test_the_order_of_the_stored_states_does_not_matter(tmp_path: Path) -> None:
    table = make_table(24)
    reverse = np.arange(24)[::-1]
    reversed_table = copy.copy(table)
    examples = [table.input_ids[table.offsets[row] : table.offsets[row + 1]] for row in reverse]
    object.__setattr__(reversed_table, "input_ids", np.concatenate(examples))
    object.__setattr__(
        reversed_table, "offsets", np.concatenate([[0], np.cumsum([len(ids) for ids in examples])])
    )
    for name in ("example_ids_R", "second_starts_R", "labels_R"):
        object.__setattr__(reversed_table, name, getattr(table, name)[reverse])
    series = []
    for name, stored in (("forward", table), ("backward", reversed_table)):
        observer = Recorder()
        run(tiny_classifier(2), table, objective=objective(tmp_path / name, stored), observer=observer)
        series.append(list(observer.series("train/total").values()))
    np.testing.assert_allclose(*series, rtol=1e-3)


@pytest.mark.parametrize(
    ("metrics", "best_epoch", "num_saved"), [(("accuracy", "f1"), 2, 2), (("f1", "accuracy"), 4, 3)]
)
def test_the_first_metric_selects_the_best_epoch_and_a_tie_keeps_the_earlier(
    metrics: tuple[str, str], best_epoch: int, num_saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"accuracy": [0.5, 0.7, 0.7, 0.6], "f1": [-0.2, -0.1, -0.1, 0.3]}
    epochs = iter(range(4))

    def scripted_metrics(names: tuple[str, ...], *_: object) -> dict[str, float]:
        epoch = next(epochs)
        return {name: scores[name][epoch] for name in reversed(names)}

    monkeypatch.setattr("pkd_core.training.loop.compute_metrics", scripted_metrics)
    saved: list[torch.Tensor] = []
    model, observer = tiny_classifier(2), Recorder()
    result = run(
        model,
        make_table(16),
        SETTINGS.model_copy(update={"num_epochs": 4}),
        metrics=metrics,
        observer=observer,
        save_best=lambda best: saved.append(best.classifier.weight.detach().clone()),
    )
    assert len(saved) == num_saved
    assert (result.best_epoch, result.best_score) == (best_epoch, scores[metrics[0]][best_epoch - 1])
    assert [entry["score"] for entry in result.history] == scores[metrics[0]]
    assert [entry["dev/f1"] for entry in result.history] == scores["f1"]
    assert [(entry["epoch"], entry["step"]) for entry in result.history] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert torch.equal(saved[-1], model.classifier.weight) == (best_epoch == 4)


def test_dev_scores_are_of_the_dev_table() -> None:
    table, dev = make_table(32), make_table(32, seed=8)
    observer = Recorder()
    model = tiny_classifier(2)
    settings = SETTINGS.model_copy(update={"num_epochs": 15})
    result = run(model, table, settings, dev=dev, observer=observer)
    scores = {}
    for name, scored in (("train", table), ("dev", dev)):
        _, logits = predict(model, scored, CPU)
        scores[name] = float((logits.argmax(-1) == scored.labels_R).mean())
    assert scores["train"] > scores["dev"]
    assert result.history[-1]["dev/accuracy"] == scores["dev"]
    assert observer.series("dev/accuracy")[30] == scores["dev"]


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


def test_a_training_that_diverges_later_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    table = make_table(64, score=True)
    assert table.labels_R is not None
    settings = SETTINGS.model_copy(update={"batch_size": 8})

    class CorruptLabels(Recorder):
        """Corrupts all labels after the first epoch's checkpoint."""

        def flush(self) -> None:
            super().flush()
            table.labels_R[:] = np.nan

    with pytest.raises(TrainingError) as caught:
        run(
            tiny_classifier(2, num_outputs=1),
            table,
            settings,
            dev=make_table(16, score=True),
            observer=CorruptLabels(),
            checkpoints=Checkpoints(tmp_path, 1e9),
            score=True,
        )
    assert str(caught.value).endswith(f"the last good checkpoint, of step 8, is {tmp_path}/checkpoint")
    assert Checkpoints(tmp_path, 1e9).load() is not None


def test_a_diverging_training_stops_before_it_saves() -> None:
    saved: list[object] = []
    model = tiny_classifier(2)
    with torch.no_grad():
        model.classifier.weight.fill_(3e38)
    with pytest.raises(TrainingError, match=r"step 1: expected finite losses.* there is no checkpoint yet"):
        run(model, make_table(32), save_best=saved.append)
    assert not saved


def test_bfloat16_training_learns_with_float32_weights_and_is_reported() -> None:
    settings = SETTINGS.model_copy(update={"precision": "bfloat16", "num_epochs": 15})
    model = tiny_classifier(2)
    table = make_table(64)
    result = run(model, table, settings, dev=table)
    assert result.precision == "bfloat16"
    assert result.best_score > 0.9
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_states_that_do_not_fit_the_student_are_an_error(tmp_path: Path) -> None:
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


def test_states_of_other_examples_are_an_error(tmp_path: Path) -> None:
    goal = objective(tmp_path, make_table(8))
    with pytest.raises(StoreError, match="found none"):
        run(tiny_classifier(2), make_table(8, first_id=100), objective=goal)


def losses_with_fixed_weights(
    table: TokenTable, settings: TrainingConfig, dropout: float, seed: int
) -> list[float]:
    """Return the loss of each step of a training that does not move the weights."""
    observer = Recorder()
    frozen = settings.model_copy(update={"learning_rate": 1e-20, "weight_decay": 0.0})
    run(tiny_classifier(2, dropout=dropout), table, frozen, seed=seed, observer=observer)
    return list(observer.series("train/total").values())


def test_dropout_masks_differ_by_step_and_by_seed() -> None:
    # Each step is the complete table: without dropout all losses are the same.
    table, settings = make_table(16), SETTINGS.model_copy(update={"num_epochs": 4})
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


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_training_leaves_torchs_random_state_as_it_was(name: str) -> None:
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    device, model = torch.device(name), tiny_classifier(2)
    states = torch.get_rng_state(), torch.cuda.get_rng_state(device) if name == "cuda" else None
    table = make_table(16)
    training = Training(
        model, table, table, SETTINGS, 1, ("accuracy",), False, None, lambda _: None, None, Recorder(), device
    )
    train(training)
    assert torch.equal(torch.get_rng_state(), states[0])
    if states[1] is not None:
        assert torch.equal(torch.cuda.get_rng_state(device), states[1])


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
