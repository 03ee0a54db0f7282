"""`compress` with a given teacher of several labels or of scores, to the bundle: its figures are transformers' own."""

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_own_teacher_run as own
import tiny
from families import teach_classifier, write_classifier
from scipy.stats import pearsonr
from sklearn.metrics import f1_score

from pkd_core import compress, load_student
from pkd_core.pipeline.notebook import CompressionResult

pytestmark = pytest.mark.slow

LABELS = ("good", "bad", "fine")
SETTINGS = tiny.QUICK_STUDENT_SETTINGS | {"latency.num_calls": 20, "latency.max_seconds": 1}
Rows = Mapping[str, Sequence[tuple[str, list[float]]]]


def write_rows(folder: Path, columns: Sequence[str], values_of: Callable[[list[str]], list[float]]) -> Rows:
    """Write train, dev and test, whose columns follow from the words of a text."""
    rng = random.Random(2)
    folder.mkdir()
    rows = {}
    for split, count in (("train", 80), ("dev", 30), ("test", 40)):
        texts = [rng.choices(tiny.WORDS[:8], k=5) for _ in range(count)]
        rows[split] = [(" ".join(words), values_of(words)) for words in texts]
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(["text", *columns])
            lines.writerows([text, *(f"{value:g}" for value in values)] for text, values in rows[split])
    return rows


def compressed(root: Path, teacher: Path, **changes: Any) -> CompressionResult:
    tiny.write_tiny_model(root / "student", 2)
    return compress(
        root / "rows",
        teachers=[teacher],
        student_model=str(root / "student"),
        student_layers=1,
        workspace=root,
        out=root / "small",
        device="cpu",
        settings=SETTINGS,
        **changes,
    )


def figures(result: CompressionResult) -> dict[tuple[str, str], dict[str, Any]]:
    values = json.loads(result.page.with_suffix(".json").read_text(encoding="utf-8"))
    assert (values["split"], values["num_examples"]) == ("test", 40)
    return {(one["role"], one["format"]): one for one in values["variants"]}


def deployed(result: CompressionResult) -> str:
    return str(json.loads(result.page.with_suffix(".json").read_text(encoding="utf-8"))["deployed"])


def test_a_teacher_of_several_labels_of_another_family(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows", LABELS, lambda words: [float(label in words) for label in LABELS])
    texts, train = zip(*rows["train"], strict=True)
    folder, order = tmp_path / "roberta", [2, 0, 1]
    kind = "multi_label_classification"
    write_classifier(folder, "roberta", texts, [LABELS[one] for one in order], problem_type=kind)
    teach_classifier(folder, texts, [[row[one] for one in order] for row in train])

    result = compressed(tmp_path, folder, label=list(LABELS))

    texts, test = zip(*rows["test"], strict=True)
    gold, expected = np.array(test)[:, order], own.answer(folder, list(texts)) >= 0
    found = figures(result)
    teacher = found["teacher", "torch-float32"]
    assert teacher["score"] == pytest.approx(f1_score(gold, expected, average="micro"))
    assert teacher["score"] > 0.6, "it has learnt more than chance"
    for name, form in (("transformers", "torch-float32"), ("bundle", deployed(result))):
        given = load_student(tmp_path / "small" / name).predict(list(texts))
        answers = [[label in one["labels"] for label in LABELS] for one in given]
        score = f1_score(np.array(test), answers, average="micro", zero_division=0)
        assert found["student", form]["score"] == pytest.approx(score)
    card = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert "gives a text any number of labels" in card
    assert "A text gets every label with a probability of 0.5 and more" in card


def test_a_teacher_of_scores(tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "rows", ["stars"], lambda words: [2.5 + words.count("good") - 0.5 * words.count("bad")]
    )
    texts, train = zip(*rows["train"], strict=True)
    folder = tmp_path / "bert"
    write_classifier(folder, "bert", texts, ["LABEL_0"], problem_type="regression")
    teach_classifier(folder, texts, [score for (score,) in train])

    result = compressed(tmp_path, folder, label="stars")

    texts, test = zip(*rows["test"], strict=True)
    gold = np.array(test)[:, 0]
    found = figures(result)
    expected = pearsonr(gold, own.answer(folder, list(texts))[:, 0]).statistic
    assert found["teacher", "torch-float32"]["score"] == pytest.approx(expected, abs=1e-5)
    assert expected > 0.6, "it has learnt more than chance"
    answers = [one["score"] for one in load_student(tmp_path / "small" / "transformers").predict(list(texts))]
    student = found["student", "torch-float32"]["score"]
    assert student == pytest.approx(pearsonr(gold, answers).statistic, abs=1e-3)
    assert abs(np.mean(answers) - gold.mean()) < 1, "in the unit of the data"
    assert "mean score" in result.table.splitlines()[0]
