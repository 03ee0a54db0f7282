"""The scores of each label: means over seeds, and which labels are shown of many."""

import json
from pathlib import Path

import numpy as np
import pytest
from parsed_page import ParsedPage
from report_rows import BASE, TEACHER, student
from sklearn.metrics import f1_score, precision_score, recall_score

from pkd_core.evaluation.label_scores import score_labels
from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.report.by_label import (
    MAX_LABELS,
    LabelScore,
    MethodLabels,
    about_labels,
    f1_table,
    mean_label_scores,
    precision_and_recall_table,
)
from pkd_core.report.content import Report
from pkd_core.report.write import write_report

GOLD = np.array([0, 0, 0, 1, 1, 2])
SEEDS = np.array([[0, 0, 1, 1, 1, 1], [0, 1, 0, 0, 1, 2]])
LABELS = ("no", "maybe", "yes")


def test_scores_are_the_means_over_seeds() -> None:
    found = mean_label_scores("RTE", "kd", 3, LABELS, Answers(GOLD, SEEDS, 3))
    assert [(one.label, one.num_examples) for one in found.labels] == [("no", 3), ("maybe", 2), ("yes", 1)]
    assert found.labels[0].precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.labels[0].recall == pytest.approx(2 / 3)
    assert found.labels[1].recall == pytest.approx((1 + 1 / 2) / 2)
    assert found.labels[2] == LabelScore("yes", 1, 0.5, 0.5, 0.5)


def test_each_of_several_labels_is_scored_by_itself() -> None:
    gold, given = np.random.default_rng(0).integers(0, 2, (2, 40, 3)).astype(np.float32)
    scores = score_labels(gold, given, 3)
    for position in range(3):
        pair = gold[:, position], given[:, position]
        assert scores.precision_C[position] == pytest.approx(precision_score(*pair))
        assert scores.recall_C[position] == pytest.approx(recall_score(*pair))
        assert scores.f1_C[position] == pytest.approx(f1_score(*pair))
        assert scores.num_examples_C[position] == gold[:, position].sum()


def method(name: str, f1: list[float]) -> MethodLabels:
    """Return labels "a", "b" ... whose precision and recall differ from the F1."""
    labels = [LabelScore(chr(97 + n), 10 + n, one + 0.01, one - 0.01, one) for n, one in enumerate(f1)]
    return MethodLabels("RTE", name, 3 if name != "teacher" else 12, labels)


def test_all_of_few_labels_are_shown_in_their_order() -> None:
    models = [method("teacher", [0.9, 0.8]), method("kd", [0.85, 0.4])]
    assert f1_table(models).headings == ["label", "examples", "teacher, 12 layers", "kd, 3 layers"]
    assert f1_table(models).rows == [["a", "10", "90.0", "85.0"], ["b", "11", "80.0", "40.0"]]
    details = precision_and_recall_table(models)
    assert details.headings == ["label", "model", "precision", "recall", "F1"]
    assert details.rows[1] == ["a", "kd, 3 layers", "86.0", "84.0", "85.0"]
    assert len(details.rows) == 4
    assert "Of " not in about_labels(models)


def test_of_many_labels_those_are_shown_that_fell_most_in_any_method() -> None:
    before = [0.9] * 14
    kd, finetune = before.copy(), before.copy()
    kd[13], kd[2], finetune[5] = 0.5, 0.8, 0.1
    kd[7] = 0.95
    models = [method("teacher", before), method("kd", kd), method("finetune", finetune)]
    shown = [row[0] for row in f1_table(models).rows]
    assert shown[:3] == ["f", "n", "c"]
    assert len(shown) == MAX_LABELS
    assert {"a", "b"}.isdisjoint(shown), "of equals, those with fewer examples are left out"
    assert {row[0] for row in precision_and_recall_table(models).rows} == set(shown)
    assert "Of 14 labels, the 12 where a method fell most below the teacher" in about_labels(models)
    assert [row[0] for row in f1_table(models[1:2]).rows][:2] == ["n", "c"], "without a teacher: the lowest"


def test_page_markdown_and_json_have_them(tmp_path: Path) -> None:
    models = [method("teacher", [0.9, 0.8]), method("kd", [0.85, 0.4])]
    write_report(tmp_path, Report([TEACHER, student("kd", 0.6, num_layers=3)], {}, BASE, labels=models))
    page = ParsedPage((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.table("label")["b"]["kd, 3 layers"] == "40.0"
    assert ["a", "kd, 3 layers", "86.0", "84.0", "85.0"] in [row for table in page.tables for row in table]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| b | 11 | 80.0 | 40.0 |" in text
    assert "| b | kd, 3 layers | 41.0 | 39.0 | 40.0 |" in text
    first, second = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["labels"]
    assert (first["task"], first["method"], first["num_layers"]) == ("RTE", "teacher", 12)
    assert second["labels"][1] == {
        "label": "b",
        "num_examples": 11,
        "precision": 0.41000000000000003,
        "recall": 0.39,
        "f1": 0.4,
    }
