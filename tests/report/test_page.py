"""The report's page: well-formed, without any address, and with every figure of the JSON."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parsed_page import ParsedPage
from report_rows import BASE, TEACHER, many, student

from pkd_core.evaluation.distances_result import LayerDistance
from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.report.by_label import mean_label_scores
from pkd_core.report.confusion import Confusion, count_confusions
from pkd_core.report.content import Report
from pkd_core.report.curves import Curves
from pkd_core.report.differences import MethodAnswers, compare_all
from pkd_core.report.distances import MethodDistances
from pkd_core.report.page.overview import overview
from pkd_core.report.page.render import html_report
from pkd_core.report.write import ResultRow, aggregate, write_report

HOSTILE = "<script>alert('&\"')</script>"


def published(task: str, method: str, num_layers: int) -> float | None:
    return {("RTE", "teacher", 12): 0.7292, ("RTE", "kd", 6): 0.6751}.get((task, method, num_layers))


def whole_report(tasks: tuple[str, ...], labels: tuple[str, ...] = ("no", "yes")) -> Report:
    """Return a report that has everything that a page can show."""
    rows, distances = many(tasks), []
    generator = np.random.default_rng(0)
    gold = generator.integers(0, len(labels), 277)
    methods, confusions, curves, by_label = [], [], [], []
    for group in aggregate(rows):
        right = generator.random((len(group.rows), 277)) < group.score
        answers = Answers(gold, np.where(right, gold, (gold + 1) % len(labels)), len(labels))
        about = (group.task, group.method, group.num_layers)
        if group.method != "teacher":
            methods.append(
                MethodAnswers(group.task, group.num_layers, group.method, answers, "accuracy", "dev")
            )
            layers = [
                LayerDistance(layer, 2 * layer, layer == 1, 2 / layer, generator.random()) for layer in (1, 2)
            ]
            distances.append(MethodDistances(*about, 3, 1000, layers))
        by_label.append(mean_label_scores(*about, labels, answers))
        confusions.append(Confusion(*about, labels, count_confusions(answers)))
        curves.append(Curves(*about, {"train/total": [(1, 3.0), (2, 0.1)], "dev/accuracy": [(2, 0.6)]}))
    failures = {"QQP/teacher": f"not finite {HOSTILE}"}
    return Report(
        rows,
        failures,
        BASE,
        published,
        pairs=compare_all(methods),
        curves=curves,
        confusions=confusions,
        labels=by_label,
        distances=distances,
        command="pkd run RTE",
    )


@pytest.mark.parametrize("labels", [("no", "yes"), tuple(f"label {n}" for n in range(9))])
def test_the_page_is_well_formed_and_needs_no_other_file(labels: tuple[str, ...]) -> None:
    page = html_report(whole_report(("RTE", "Own"), labels))
    parsed = ParsedPage(page)
    assert "script" not in parsed.tags
    assert {"svg", "table", "style"} <= set(parsed.tags)
    addresses = [
        value for name, value in parsed.attributes if name in ("src", "href", "action", "xlink:href")
    ]
    targets = {value for name, value in parsed.attributes if name == "id"}
    assert addresses
    assert all(value and value[0] == "#" and value[1:] in targets for value in addresses)
    assert re.search(r"https?:|url\(|@import", page) is None
    assert not any(name.startswith("on") for name, _ in parsed.attributes)


def test_every_figure_of_the_json_is_on_the_page(tmp_path: Path) -> None:
    write_report(tmp_path, whole_report(("RTE", "Own")))
    text = ParsedPage((tmp_path / "report.html").read_text(encoding="utf-8")).text
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    shown = set(re.findall(r"[+-]?\d+(?:\.\d+)?", text))
    wanted: list[str] = []
    for group in report["groups"]:
        fractions = [group["score"], *(group["interval"] or ()), group["baseline"], group["published"]]
        fractions += [*group["mean"].values(), *group["std"].values(), group["gap_to_teacher"]]
        wanted += [f"{round(100 * value, 1) + 0:.1f}" for value in fractions if value is not None]
        wanted += [f"{group['parameters'] / 1e6:.1f}", f"{group['size_bytes'] / 1e6:.1f}"]
        wanted += [f"{group[key]:.2f}" for key in ("times_smaller", "speed_ratio") if group[key] is not None]
    for row in report["rows"]:
        wanted += [f"{100 * value:.1f}" for value in row["scores"].values()] + [str(row["best_epoch"])]
    for pair in report["differences"]:
        result = pair["result"]
        wanted += [f"{100 * result[key]:+.1f}" for key in ("difference", "low", "high")]
        wanted += [f"{result[key]:.4f}" for key in ("p_value", "corrected")]
    assert len(report["distances"]) == 20
    for one in report["distances"]:
        wanted += [f"{layer[key]:.3f}" for layer in one["layers"] for key in ("before", "after")]
    assert len(wanted) > 400
    assert [value for value in wanted if value not in shown] == []
    for note in report["notes"]:
        assert note in text


def test_what_comes_from_data_is_escaped() -> None:
    report = whole_report(("RTE", HOSTILE), (HOSTILE, "yes"))
    page = html_report(report)
    assert "<script" not in page
    parsed = ParsedPage(page)
    assert f"QQP/teacher : not finite {HOSTILE}" in parsed.text
    assert HOSTILE in next(table for table in parsed.tables if table[0][1:] == [HOSTILE, "yes"])[1][0]
    many_labels = (HOSTILE, *(f"label {n}" for n in range(8)))
    tables = ParsedPage(html_report(whole_report(("RTE",), many_labels))).tables
    assert [HOSTILE in {row[0] for row in table} for table in tables if table[0][0] == "label"] == [True] * 3


def test_ours_stand_beside_the_published_scores_with_the_difference() -> None:
    rows = [replace(TEACHER, scores={"dev/accuracy": 0.70}), student("kd", 0.64), student("kd", 0.66, seed=2)]
    line_by_name = {line.name: line for line in overview(aggregate(rows), published).lines}
    (column,) = (
        n for n, one in enumerate(overview(aggregate(rows), published).columns) if one.title == "RTE"
    )
    teacher, kd = (
        line_by_name[name].cells[column] for name in ("Teacher, 12 layers", "Vanilla KD, 6 layers")
    )
    assert teacher is not None
    assert (teacher.score, teacher.published, teacher.difference) == ("70.0", "72.9", "-2.9")
    assert kd is not None
    assert (kd.score, kd.published, kd.difference) == ("65.0 ± 1.4", "67.5", "-2.5")
    parsed = ParsedPage(html_report(Report(rows, {}, BASE, published)))
    assert parsed.table("")["Vanilla KD, 6 layers"]["RTE accuracy 277 dev rows"] == (
        "65.0 ± 1.4 59.2–70.4 67.5 (-2.5)"
    )


def test_the_best_students_of_a_depth_are_marked_unless_all_are_equal() -> None:
    scores = {"finetune": 0.6, "kd": 0.7, "pkd-skip": 0.7}
    equal = [student(method, 0.6, num_layers=3) for method in scores]
    rows = [TEACHER, *(student(method, score) for method, score in scores.items()), *equal]
    table = overview(aggregate(rows), None)
    (column,) = (n for n, one in enumerate(table.columns) if one.title == "RTE")
    cells = {line.name: line.cells[column] for line in table.lines}
    best = [name for name, cell in cells.items() if cell is not None and cell.is_best]
    assert best == ["Vanilla KD, 6 layers", "PKD, skip, 6 layers"]


def test_what_was_not_run_is_empty() -> None:
    rows = [row for row in many(("RTE", "Own"), seeds=(1,)) if (row.task, row.method) != ("Own", "kd")]
    parsed = ParsedPage(html_report(Report(rows, {}, BASE)))
    table = parsed.table("")
    columns = list(table["Teacher, 12 layers"])[1:]
    assert [name.split()[0] for name in columns] == ["SST-2", "MRPC", "QQP", "MNLI", "QNLI", "RTE", "Own"]
    run = {name: [column.split()[0] for column in columns if cells[column]] for name, cells in table.items()}
    assert run.pop("Vanilla KD, 6 layers") == run.pop("Vanilla KD, 3 layers") == ["RTE"]
    others = [
        f"{name}, {depth} layers"
        for depth in (6, 3)
        for name in ("Fine-tuned", "PKD, skip", "PKD, last", "kd.full")
    ]
    assert run == {name: ["RTE", "Own"] for name in ("Teacher, 12 layers", *others)}
    of_paper = [row for row in rows if row.method != "kd.full"]
    assert "kd.full, 6 layers" not in ParsedPage(html_report(Report(of_paper, {}, BASE))).table("")
    own = ParsedPage(html_report(Report([row for row in rows if row.task == "Own"], {}, BASE)))
    assert len(own.table("")["Teacher, 12 layers"]) == 2, "the paper's tasks are no columns of other tasks"


def test_both_dev_sets_of_mnli_are_columns_and_the_second_has_no_published_score() -> None:
    scores = {"dev/accuracy": 0.8, "dev-mismatched/accuracy": 0.79}
    table = overview(aggregate([replace(TEACHER, task="MNLI", scores=scores)]), lambda *_: 0.81)
    cells = dict(zip([one.title for one in table.columns], table.lines[0].cells, strict=True))
    matched, mismatched = cells["MNLI"], cells["MNLI mismatched"]
    assert matched is not None
    assert (matched.score, matched.published, matched.difference) == ("80.0", "81.0", "-1.0")
    assert mismatched is not None
    assert (mismatched.score, mismatched.published) == ("79.0", "")


def test_a_labelled_test_split_is_the_first_column_and_dev_the_second() -> None:
    scores = {"dev/accuracy": 0.8, "test/accuracy": 0.75, "test/f1": 0.5}
    row = replace(TEACHER, task="Mine", scores=scores, extra={"num_dev": 277, "num_test": 1000})
    table = overview(aggregate([row]), None)
    assert [(one.title, one.metric, one.note) for one in table.columns] == [
        ("Mine test", "accuracy", "1000 test rows"),
        ("Mine dev", "accuracy", ""),
    ]
    first, second = table.lines[0].cells
    assert first is not None and second is not None
    assert (first.score, first.interval, second.score, second.interval) == ("75.0", "72.2–77.6", "80.0", "")


@pytest.mark.parametrize("rows", [[], [TEACHER], [student("kd", 0.6)]])
def test_a_page_of_little_is_whole(rows: list[ResultRow]) -> None:
    parsed = ParsedPage(html_report(Report(rows, {"RTE/kd": "no memory"}, BASE, no_published="it is small")))
    assert "RTE/kd : no memory" in parsed.text
    assert ("The published figures are not shown: it is small." in parsed.text) == bool(rows)
