"""`pkd compare`: its numbers are those of the answers, however models are named, and different data are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run_pkd
from evaluated_models import publish_model
from tiny import write_tiny_task

NUM_DEV = 24
GOLD = np.arange(NUM_DEV) % 2


def logits_of(wrong: tuple[int, ...], scale: float = 1.0) -> np.ndarray[Any, Any]:
    """Return outputs that are wrong on some examples only; the larger the scale, the surer."""
    answers = GOLD.copy()
    answers[list(wrong)] ^= 1
    return np.eye(2)[answers] * scale


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with models of two tasks; kd-2l-s1 is there twice, and finetune-2l-s9 is of an earlier dev file."""
    path = tmp_path_factory.mktemp("compared")
    write_tiny_task(path / "data_raw")
    write_tiny_task(path / "data_raw", "Other")
    write_tiny_task(path / "data_raw", "Tested")
    publish_model(path, "Tiny", "finetune-2l-s1", GOLD, logits_of((0, 1, 2, 3, 9)))
    publish_model(path, "Tiny", "kd-2l-s1", GOLD, logits_of((0, 5), scale=2.0), age="4")
    publish_model(path, "Tiny", "kd-2l-s1", GOLD, logits_of((0,)), age="5")
    publish_model(path, "Tiny", "finetune-2l-s9", GOLD, logits_of((0,)), raw_hash="f" * 64)
    publish_model(path, "Other", "kd-2l-s1", GOLD, logits_of((0,)))
    for name, wrong_on_test in {"finetune-2l-s1": (0, 1), "kd-2l-s1": (1, 2, 3)}.items():
        publish_model(path, "Tested", name, GOLD, logits_of((4,)), on_test=logits_of(wrong_on_test))
    return path


@pytest.fixture
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    return root


def compared(capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run_pkd("compare", *words, "--json") == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def test_the_numbers_are_those_of_the_answers(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = compared(capfd, "Tiny/finetune-2l-s1", "Tiny/kd-2l-s1-4", "--disagreements", "9")
    assert found["counts"] == {"both_right": 18, "only_first": 1, "only_second": 4, "both_wrong": 1}
    assert found["mcnemar_p"] == pytest.approx(2 * (1 + 5) / 2**5)
    assert found["difference"] == pytest.approx(-3 / 24)
    low, high = found["interval"]
    assert low < -3 / 24 < high
    assert [model["score"] for model in found["models"]] == [19 / 24, 22 / 24]
    assert [one["example_id"] for one in found["disagreements"]] == [1, 2, 3, 5, 9]
    lines = (here / "data_raw" / "Tiny" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    first = found["disagreements"][0]
    assert first["texts"] == [lines[1].split("\t")[0]]
    assert first["label"] == "up"
    assert first["first"] == {"text": "down", "probability": pytest.approx(1 / (1 + np.exp(-1.0)))}
    assert first["second"] == {"text": "up", "probability": pytest.approx(1 / (1 + np.exp(-2.0)))}


@pytest.mark.parametrize(
    "names",
    [
        ("Tiny/finetune-2l-s1", "Tiny/kd-2l-s1-4444"),
        ("Tiny/evaluation-finetune-2l-s1", "Tiny/evaluation-kd-2l-s1-44"),
        ("artifacts/Tiny/finetune-2l-s1-" + 16 * "0", "artifacts/Tiny/evaluation-kd-2l-s1-" + 16 * "4"),
        ("finetune-2l-s1", "kd-2l-s1-4", "--task", "Tiny"),
    ],
)
def test_models_and_evaluations_have_several_names(
    names: tuple[str, ...], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    models = compared(capfd, *names)["models"]
    assert [model["name"] for model in models] == ["Tiny/finetune-2l-s1", "Tiny/kd-2l-s1"]
    assert [Path(model["folder"]).name for model in models] == [
        f"evaluation-finetune-2l-s1-{16 * '0'}",
        f"evaluation-kd-2l-s1-{16 * '4'}",
    ]


def test_it_is_shown_in_words(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("compare", "Tiny/finetune-2l-s1", "Tiny/kd-2l-s1-4", "--disagreements", "1") == 0
    out = capfd.readouterr().out
    assert out.startswith("Tiny: accuracy on 24 dev examples\nA  79.2  Tiny/finetune-2l-s1  (artifacts/")
    assert "\nB leads A by 12.5 points (3 of 24 examples), interval " in out
    assert "\nboth right 18, only A 1, only B 4, both wrong 1; McNemar's exact p = 0.3750\n" in out
    assert (
        "\n1 of 5 examples with different answers:\nexample 1: up; A: down (0.73); B: up (0.88)\n    " in out
    )


def test_a_labelled_test_split_is_compared_if_it_is_named(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    models = ("Tested/finetune-2l-s1", "Tested/kd-2l-s1")
    on_dev, on_test = compared(capfd, *models), compared(capfd, *models, "--split", "test")
    assert (on_dev["split"], on_dev["difference"]) == ("dev", 0)
    assert (on_test["split"], on_test["difference"]) == ("test", pytest.approx(1 / 24))
    assert [model["score"] for model in on_test["models"]] == [22 / 24, 21 / 24]
    assert on_test["counts"] == {"both_right": 20, "only_first": 2, "only_second": 1, "both_wrong": 1}
    assert run_pkd("compare", *models, "--split", "test") == 0
    assert capfd.readouterr().out.startswith(
        "Tested: accuracy on 24 test examples\nA  91.7  Tested/finetune-2l"
    )
    assert run_pkd("compare", "Tiny/finetune-2l-s1", "Tiny/kd-2l-s1-4", "--split", "test") == 2
    assert "has scores of dev, and none of 'test'; give one of these splits" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("Tiny/finetune-2l-s1", "Other/kd-2l-s1"), "need to be of one task and score, got Tiny (dev/accuracy) and"),
        (("Tiny/finetune-2l-s1", "Tiny/finetune-2l-s9"), "were evaluated on different dev data; run both"),
        (("Tiny/finetune-2l-s1", "Tiny/finetune-2l-s1"), "; give two models"),
        (("Tiny/finetune-2l-s1", "Tiny/kd-2l-s1"), "has been trained several times"),
        (("Tiny/finetune-2l-s1", "Tiny/kd-9l"), "there is no model 'Tiny/kd-9l'"),
        (("Tiny/finetune-2l-s1", "data_raw/Tiny"), "expected a model folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_sentence(
    names: tuple[str, str], sentence: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("compare", *names) == 2
    captured = capfd.readouterr()
    assert sentence in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_examples_are_not_shown_from_another_file_than_was_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_task(tmp_path / "data_raw")
    for name in ("finetune-2l-s1", "kd-2l-s1"):
        publish_model(tmp_path, "Tiny", name, GOLD, logits_of((0,) if name == "kd-2l-s1" else (1,)))
    dev = tmp_path / "data_raw" / "Tiny" / "dev.tsv"
    dev.write_text(dev.read_text(encoding="utf-8").replace("film", "song"), encoding="utf-8")
    words = ("compare", "finetune-2l-s1", "kd-2l-s1", "--task", "Tiny", "--workspace", str(tmp_path))
    assert run_pkd(*words) == 0, "the answers are still the same"
    capfd.readouterr()
    assert run_pkd(*words, "--disagreements", "1") == 2
    assert "needs to be the file that the models were evaluated on" in capfd.readouterr().err


def test_damaged_answers_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tiny_task(tmp_path / "data_raw")
    one = publish_model(tmp_path, "Tiny", "finetune-2l-s1", GOLD, logits_of((0,)))
    other = publish_model(tmp_path, "Tiny", "kd-2l-s1", GOLD, logits_of((1,)))
    path = other / "answers-dev.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert run_pkd("compare", str(one), str(other), "--workspace", str(tmp_path)) == 2
    assert "answers-dev.parquet has other bytes than were published" in capfd.readouterr().err


def test_scores_have_a_difference_and_no_counts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tiny_task(tmp_path / "data_raw")
    task = tmp_path / "data_raw" / "Tiny" / "task.toml"
    text = task.read_text(encoding="utf-8").replace('labels = ["down", "up"]', "label_range = [0.0, 9.0]")
    task.write_text(text.replace('["accuracy", "f1"]', '["pearson"]'), encoding="utf-8")
    dev = tmp_path / "data_raw" / "Tiny" / "dev.tsv"
    dev.write_text(
        dev.read_text(encoding="utf-8").replace("\tup", "\t1").replace("\tdown", "\t0"), encoding="utf-8"
    )
    gold = np.arange(NUM_DEV, dtype=np.float32)
    noise = np.random.default_rng(0).standard_normal((2, NUM_DEV)).astype(np.float32)
    noise[0, 7] += 50
    for name, values in zip(("finetune-2l-s1", "kd-2l-s1"), noise, strict=True):
        publish_model(tmp_path, "Tiny", name, gold, (gold + values)[:, None])
    words = ("Tiny/finetune-2l-s1", "Tiny/kd-2l-s1", "--workspace", str(tmp_path), "--disagreements", "1")
    found = compared(capfd, *words)
    assert (found["counts"], found["mcnemar_p"]) == (None, None)
    expected = np.subtract(*(np.corrcoef(gold, gold + values)[0, 1] for values in noise))
    assert found["difference"] == pytest.approx(expected, abs=1e-6)
    (one,) = found["disagreements"]
    assert (one["example_id"], one["label"], one["first"]["probability"]) == (7, "7.000", None)
