"""A run of a task whose texts have any number of labels, in every kind of method, with texts that have none known."""

import json
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from sklearn.metrics import classification_report
from tiny import QUICK_SETTINGS, SEVERAL_LABELS_FILE, WORDS, write_tiny_model
from transformers import pipeline

from flows.best import describe_best
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.examples import read_split
from pkd_core.data.glue import load_task
from pkd_core.errors import ConfigError
from pkd_core.evaluation.answers import read_answers
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.comparison import compare, find_disagreements
from pkd_core.pipeline.evaluated import read_evaluation
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
from pkd_core.store.address import StageRecord

LABELS = ("anger", "joy", "fear")
METHODS = ("finetune", "kd", "kd.full", "pkd-skip")
SETTINGS = QUICK_SETTINGS | {
    "transfer.num_copies": 1,
    "teacher.num_epochs": 10,
    "teacher.batch_size": 8,
    "teacher.learning_rate": 3e-3,
    "student.learning_rate": 3e-3,
    "student.batch_size": 8,
}


def write_moods(data_raw: Path) -> None:
    """Write texts whose labels follow from three of their words."""
    rng = random.Random(1)
    folder = data_raw / "Moods"
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(SEVERAL_LABELS_FILE, encoding="utf-8")
    for split, count in (("train", 64), ("dev", 24), ("test", 5), ("unlabelled", 12)):
        texts = [" ".join(rng.choices(WORDS, k=5)) for _ in range(count)]
        lines = ["sentence\tlabel" if split in ("train", "dev") else "sentence"]
        for text in texts:
            own = [name for name, word in zip(LABELS, WORDS, strict=False) if word in text.split()]
            lines.append(f"{text}\t{'|'.join(own)}" if split in ("train", "dev") else text)
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moods")
    write_moods(folder / "data_raw")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_tiny_model(folder / "model")
    return folder


@pytest.fixture(scope="module")
def records(root: Path) -> Mapping[str, StageRecord]:
    config = build_run_config(
        tasks=["Moods"], methods=METHODS, seeds=[1], model=str(root / "model"), settings=SETTINGS
    )
    return run_plan(make_plan(config, root, device="cpu"), RunOptions(device="cpu"))


def test_every_model_answers_as_transformers_pipeline_does(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    task = load_task("Moods", root / "data_raw")
    texts = [one.texts[0] for one in read_split(root / "data_raw/Moods/dev.tsv", task, task.split("dev"))]
    for name in ("teacher", *(f"{method}-2l-s1" for method in METHODS)):
        classify = pipeline("text-classification", str(root / records[f"Moods/{name}"].path), top_k=None)
        evaluation = root / records[f"Moods/evaluation-{name}"].path
        answers = read_answers(evaluation, "dev")
        num_right = 0
        for row, found in enumerate(classify(texts)):
            scores = {one["label"]: one["score"] for one in found}
            expected = [float(scores[label] >= 0.5) for label in LABELS]
            assert answers.predictions_R[row].tolist() == expected
            num_right += expected == answers.labels_R[row].tolist()
        assert read_result(evaluation).scores["dev/subset_accuracy"] == pytest.approx(num_right / 24)
    result = read_result(root / records["Moods/evaluation-teacher"].path)
    assert result.selection == "dev/micro_f1"
    assert result.score > result.baseline


def test_texts_of_unknown_labels_and_copies_are_learnt_from(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    facts = json.loads((root / records["Moods/transfer-set"].path / "manifest.json").read_text())["facts"]
    assert (facts["num_unlabelled"], facts["num_copies"] > 30) == (12, True)


def test_unlabelled_test_texts_get_their_labels_joined(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    path = root / records["Moods/evaluation-teacher"].path / "submission" / "Moods.tsv"
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert (header, len(lines)) == ("index\tprediction", 5)
    given = {label for line in lines for label in line.split("\t")[1].split("|") if label}
    assert given <= set(LABELS)
    assert given


def test_two_models_are_compared_by_all_labels_of_a_text(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    first, second = (
        read_evaluation(root / records[f"Moods/evaluation-{name}"].path)
        for name in ("teacher", "finetune-2l-s1")
    )
    counts = compare(first, second).agreement
    assert counts is not None
    right = (first.answers.predictions_R == first.answers.labels_R).all(axis=1).sum()
    assert counts.both_right + counts.only_first == right
    assert sum(vars(counts).values()) == 24
    found = find_disagreements(first, second, root / "data_raw")
    differ = (first.answers.predictions_R != second.answers.predictions_R).any(axis=1).nonzero()[0]
    assert [one.example_id for one in found] == differ.tolist()
    names = [LABELS[position] for position in first.answers.predictions_R[differ[0]].nonzero()[0]]
    assert found[0].first.text == ("|".join(names) or "no label")


def test_the_report_has_every_method_and_says_how_all_labels_are_shown(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    report = root / records["reports/report"].path
    text = (report / "report.txt").read_text(encoding="utf-8")
    assert "Moods: micro F1 on 24 dev examples, 1 seed; most frequent answer" in text
    assert all(method in text for method in ("teacher", *METHODS))
    assert "top_k=None))" in describe_best(root, report)


def test_the_report_scores_each_label_as_scikit_learn_does(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    report = json.loads((root / records["reports/report"].path / "report.json").read_text(encoding="utf-8"))
    assert [one["method"] for one in report["labels"]] == ["teacher", *METHODS]
    for one in report["labels"]:
        name = "teacher" if one["method"] == "teacher" else f"{one['method']}-2l-s1"
        answers = read_answers(root / records[f"Moods/evaluation-{name}"].path, "dev")
        expected = classification_report(
            answers.labels_R, answers.predictions_R, target_names=LABELS, output_dict=True, zero_division=0.0
        )
        for score in one["labels"]:
            found = (score["precision"], score["recall"], score["f1"], score["num_examples"])
            assert found == pytest.approx(tuple(expected[score["label"]].values()))


def test_the_decoupled_loss_is_refused(root: Path) -> None:
    config = build_run_config(
        tasks=["Moods"], model=str(root / "model"), settings={"distill.distillation_loss": "dkd"}
    )
    with pytest.raises(
        ConfigError, match="needs a task with classes, and Moods has several labels of a text"
    ):
        make_plan(config, root, device="cpu")
