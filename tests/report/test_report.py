"""A report says what its rows say: its files are read back."""

import json
import re
from dataclasses import replace
from pathlib import Path

from report_rows import TEACHER, many, student

from pkd_core.report.write import ResultRow, aggregate, results_table, write_report


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table_rows(page: str, section: str) -> dict[str, dict[str, str]]:
    """Return a section's table by its first cells, as a reader of markdown sees it."""
    part = page.split(f"\n## {section}\n")[1].partition("\n## ")[0]
    lines = [cells(line) for line in part.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1, "every line has the same number of cells"
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_the_page_shows_each_figure_under_its_heading(tmp_path: Path) -> None:
    rows = [
        replace(TEACHER, scores={"dev/accuracy": 0.70, "dev/f1": 0.80}),
        student("finetune", 0.60),
        *(student("kd", score, seed) for seed, score in ((1, 0.64), (2, 0.66))),
    ]
    write_report(tmp_path, rows, {}, published=lambda task, method, depth: 0.6751 if method == "kd" else None)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    table = table_rows(page, "RTE")
    assert table["teacher, 12 layers"]["accuracy"] == "70.0"
    assert table["teacher, 12 layers"]["F1"] == "80.0"
    assert table["teacher, 12 layers"]["times faster"] == "–"
    assert table["kd, 6 layers"] == {
        "model": "kd, 6 layers",
        "accuracy": "65.0 ± 1.4 (2)",
        "vs teacher": "-5.0",
        "gap closed": "50 %",
        "parameters": "55.0M",
        "MB": "220.0",
        "times smaller": "2.00",
        "times faster": "2.00",
        "F1": "–",
        "published": "67.5",
    }
    assert "most frequent answer scores 52.7" in page
    assert "one standard error is 2.8" in page


def test_the_overview_has_a_column_a_task_and_a_gap_where_a_model_is_missing(tmp_path: Path) -> None:
    rows = [row for row in many(["RTE", "CoLA"], seeds=(1,)) if (row.task, row.method) != ("CoLA", "kd")]
    write_report(tmp_path, rows, {"CoLA/kd-6l-s1": "the loss is\nnot finite"})
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    table = table_rows(page, "All tasks")
    assert list(table["metric"]) == ["", "RTE", "CoLA"]
    assert table["kd, 3 layers"]["CoLA"] == "–"
    assert re.fullmatch(r"\d\d\.\d", table["kd, 3 layers"]["RTE"])
    assert "- **CoLA/kd-6l-s1**: the loss is not finite\n" in page


def test_settings_that_differ_have_a_column_and_the_others_a_line(tmp_path: Path) -> None:
    settings = {"student.learning_rate": 1e-5, "student.num_epochs": 4}
    rows = [
        TEACHER,
        student("finetune", 0.6, settings=settings),
        student("kd", 0.6, settings=settings | {"student.learning_rate": 5e-5}, preset="a | b"),
        student("kd", 0.6, seed=2, settings=settings, best_epoch=2),
    ]
    write_report(tmp_path, rows, {})
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "`student.num_epochs` 4" in page.split("## Settings")[1]
    lines = [cells(line) for line in page.split("## Settings")[1].splitlines() if line.startswith("|")]
    assert lines[0] == ["task", "model", "`student.learning_rate`", "best epoch", "settings from"]
    assert lines[2:] == [
        ["RTE", "teacher, 12 layers", "–", "3", "teacher_12layer best RTE"],
        ["RTE", "finetune, 6 layers", "1e-05", "3", "pkd_6layer best RTE"],
        ["RTE", "kd, 6 layers", "5e-05 / 1e-05", "3, 2", r"a \| b / pkd_6layer best RTE"],
    ]


def test_notes_say_what_applies_and_nothing_else(tmp_path: Path) -> None:
    def notes_of(rows: list[ResultRow], failures: dict[str, str]) -> str:
        write_report(tmp_path, rows, failures)
        return (tmp_path / "report.md").read_text(encoding="utf-8").split("## Notes")[1]

    single = notes_of([TEACHER, student("kd", 0.6)], {})
    assert "RTE: figures from one seed show little" in single
    assert "never scored" in single
    assert "±" not in single
    several = notes_of(
        [TEACHER, student("kd", 0.6), student("kd", 0.6, seed=2, extra={})],
        {"QQP/teacher": "out of memory"},
    )
    assert "one seed" not in several
    assert "±" in several
    assert "1 failed" in several
    skipped = notes_of([replace(TEACHER, task="QQP", extra={"skipped_lines": {"train": 21, "dev": 0}})], {})
    assert "QQP: broken lines of the data files were skipped (21 of train)" in skipped
    assert "standard error" not in skipped


def test_the_json_holds_every_row_and_is_strict_json(tmp_path: Path) -> None:
    rows = many(["RTE", "MNLI"])
    write_report(tmp_path, rows, {"QQP/teacher": "é"})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    value = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert sorted(map(repr, (ResultRow(**row) for row in value["rows"]))) == sorted(map(repr, rows))
    assert [group["score"] for group in value["groups"]] == [group.score for group in aggregate(rows)]
    assert value["failures"] == {"QQP/teacher": "é"}
    assert len(value["notes"]) > 3


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = many(["RTE", "MRPC"])
    found = []
    for name, order in (("a", rows), ("b", rows), ("c", [*rows[:1], *reversed(rows[1:25]), *rows[25:]])):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, order, {"x": "y"})
        found.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert list(found[0]) == ["report.json", "report.md", "report.png"]
    assert found[0] == found[1] == found[2]


def test_nothing_trained_is_reported_rather_than_failing(tmp_path: Path) -> None:
    write_report(tmp_path, [], {"RTE/teacher": "no data"})
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "no data" in page
    assert "](report.png)" not in page
    assert (tmp_path / "report.png").stat().st_size > 1000
    assert results_table([], {"RTE/teacher": "no data"}) == "FAILED RTE/teacher: no data"


def test_the_terminal_table_has_a_line_a_group_and_no_colours() -> None:
    rows = [TEACHER, student("finetune", 0.60), student("kd", 0.64), student("kd", 0.66, seed=2)]
    text = results_table(rows, {"QQP/teacher": "out of\nmemory [bold]"})
    assert [" ".join(line.split()) for line in text.splitlines() if "─" not in line and line] == [
        "task model score vs teacher gap closed parameters MB smaller faster",
        "RTE (accuracy) teacher, 12 layers 70.0 – – 110.0M 440.0 – –",
        "finetune, 6 layers 60.0 -10.0 – 55.0M 220.0 2.00 2.00",
        "kd, 6 layers 65.0 ± 1.4 (2) -5.0 50 % 55.0M 220.0 2.00 2.00",
        "FAILED QQP/teacher: out of memory [bold]",
    ]
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_difference_that_rounds_to_nothing_has_no_minus_sign() -> None:
    assert " +0.0 " in results_table([TEACHER, student("kd", 0.6999)], {})
