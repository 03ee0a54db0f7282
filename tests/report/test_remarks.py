"""A model that has learnt nothing is marked wherever its score is shown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_rows import BASE, TEACHER, student, table_rows

from pkd_core.report.content import Report
from pkd_core.report.markdown import markdown_report
from pkd_core.report.write import ResultRow, aggregate, results_table, write_report


def nothing_learnt() -> list[ResultRow]:
    """Return a useless teacher, a student that is no better, one that collapsed in a seed, and one that is sound."""
    teacher = replace(TEACHER, scores={"dev/accuracy": 0.475}, baseline=0.475)
    shallow = student("kd", 0.4, num_layers=3, baseline=0.475)
    equal = [student("finetune", 0.475, seed, baseline=0.475, predicted_classes=1) for seed in (1, 2, 3)]
    partly = [
        student("kd", score, seed, baseline=0.475, predicted_classes=classes)
        for seed, score, classes in ((1, 0.6, 2), (2, 0.475, 1))
    ]
    return [teacher, *equal, *partly, student("pkd-skip", 0.6, baseline=0.475), shallow]


def test_a_model_that_learnt_nothing_is_marked_in_tables_notes_and_json(tmp_path: Path) -> None:
    write_report(tmp_path, Report(nothing_learnt(), {}, BASE))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    no_better, one_class = "no better than the most frequent answer", "predicts one class only"
    assert [group["remark"] for group in report["groups"]] == [
        no_better,
        f"{no_better}; {one_class}",
        f"seed 2 {one_class}",
        "",
        no_better,
    ]
    notes = [
        "RTE: the most frequent answer scores 47.5. No better than the most frequent answer: teacher, 12 layers; kd, 3 "
        "layers. No better than the most frequent answer; predicts one class only: finetune, 6 layers. Seed 2 predicts "
        "one class only: kd, 6 layers. Another learning rate, more epochs or another model may help.",
        "RTE: the teacher has learnt nothing, so its students have nothing to learn from it.",
    ]
    assert report["notes"][:2] == notes
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    rows = table_rows(page, "RTE")
    assert rows["finetune, 6 layers"]["accuracy"] == "47.5 ± 0.0 (3)"
    assert [row["remark"] for row in rows.values()] == [group["remark"] for group in report["groups"]]
    sound = markdown_report(Report([TEACHER, student("kd", 0.6)], {}, BASE), "report.png")
    assert "remark" not in sound
    lines = results_table(nothing_learnt(), {}, BASE).splitlines()
    assert [line for line in lines if line.startswith("    ! ")] == [
        f"    ! {no_better}",
        f"    ! {no_better}; {one_class}",
        f"    ! seed 2 {one_class}",
        f"    ! {no_better}",
    ]
    assert lines[lines.index(f"    ! seed 2 {one_class}") - 1].startswith("kd, 6 layers ")


@pytest.mark.parametrize(
    ("scores", "is_marked"), [((0.475,), True), ((0.476,), False), ((0.1, 0.2, 0.3), True)]
)
def test_a_mean_that_only_rounding_lifts_above_the_baseline_is_no_better(
    scores: tuple[float, ...], is_marked: bool
) -> None:
    baseline = 0.2 if len(scores) == 3 else 0.475
    rows = [student("kd", score, seed, baseline=baseline) for seed, score in enumerate(scores)]
    assert aggregate(rows)[0].is_useless is is_marked
    assert aggregate([replace(row, baseline=None) for row in rows])[0].is_useless is False
