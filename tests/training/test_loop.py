"""The loop learns, is reproducible bit for bit, keeps the best epoch, and reports where a training failed."""

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier, tiny_config
from trainings import CPU, SETTINGS, objective, run
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.predict import predict
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


@pytest.mark.slow
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
    assert list(observer.series("dev/accuracy")) == [25, 50]
    assert list(observer.series("dev/f1")) == [25, 50]
    first_epoch = np.mean([parts[0][step] for step in range(1, 26)])
    assert result.history[0]["train/total"] == pytest.approx(first_epoch)
    assert result.history[1]["score"] == observer.series("dev/accuracy")[50]


def test_plain_finetuning_records_no_teacher_losses() -> None:
    observer = Recorder()
    run(tiny_classifier(2), make_table(8), observer=observer)
    assert set(observer.metrics_seen[0][1]) == {"train/total", "train/cross_entropy", "train/learning_rate"}


def test_without_patience_no_states_are_compared_and_hidden_sizes_may_differ(tmp_path: Path) -> None:
    table, observer = make_table(8), Recorder()
    model = BertForSequenceClassification(tiny_config(num_layers=2, hidden_size=48))
    goal = objective(tmp_path, table, beta=0.0)
    run(model, table, objective=goal, observer=observer)
    assert set(observer.metrics_seen[0][1]) == {
        "train/total",
        "train/cross_entropy",
        "train/distillation",
        "train/learning_rate",
    }


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
