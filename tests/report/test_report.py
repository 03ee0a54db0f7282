"""Every number in the report's files is the one that follows from its rows."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from report_rows import BASE, GLUE, TEACHER, cells, many, speed, student, table_rows

from pkd_core.report.content import Report
from pkd_core.report.markdown import markdown_report
from pkd_core.report.summary import read_summary
from pkd_core.report.write import BaseModel, ResultRow, results_table, write_report

ROWS = [
    replace(TEACHER, scores={"dev/accuracy": 0.70, "dev/f1": 0.80}),
    student("finetune", 0.60),
    student("kd", 0.64, seed=1),
    student("kd", 0.66, seed=2),
    student(
        "kd", 0.55, seed=1, num_layers=3, parameters=44_000_000, size_bytes=176_000_000, speed=speed(3.8)
    ),
]
PUBLISHED = {("RTE", "teacher", 12): 0.7292, ("RTE", "kd", 6): 0.6751, ("RTE", "kd", 3): 0.6101}


def published(task: str, method: str, num_layers: int) -> float | None:
    return PUBLISHED.get((task, method, num_layers))


def page_of(rows: list[ResultRow], failures: dict[str, str] | None = None) -> str:
    return markdown_report(Report(rows, failures or {}, BASE), "report.png")


def test_each_number_of_a_group_is_right_in_the_json_and_the_page_is_beside_it(tmp_path: Path) -> None:
    write_report(tmp_path, Report(ROWS, {}, BASE, published))
    page = markdown_report(Report(ROWS, {}, BASE, published), "report.png")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == page
    groups = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["groups"]
    teacher, finetune, kd, kd_3 = groups
    assert kd == {
        "task": "RTE",
        "method": "kd",
        "num_layers": 6,
        "seeds": [1, 2],
        "selection": "dev/accuracy",
        "final": "dev/accuracy",
        "score": pytest.approx(0.65),
        "mean": {"dev/accuracy": pytest.approx(0.65)},
        "std": {"dev/accuracy": pytest.approx(0.01414214)},
        "interval": pytest.approx([0.5921, 0.7038], abs=1e-4),
        "baseline": 0.527,
        "gap_to_teacher": pytest.approx(-0.05),
        "gap_closed": pytest.approx(0.5),
        "parameters": 55_000_000,
        "size_bytes": 220_000_000,
        "times_smaller": 2.0,
        "speed_ratio": 2.0,
        "speed_interval": pytest.approx([1.98, 2.01]),
        "published": 0.6751,
        "remark": "",
    }
    assert teacher["mean"] == {"dev/accuracy": 0.70, "dev/f1": 0.80}
    assert teacher["std"] == {"dev/accuracy": None, "dev/f1": None}
    assert teacher["interval"] == pytest.approx([0.6435, 0.7510], abs=1e-4)
    for key in ("gap_to_teacher", "gap_closed", "times_smaller", "speed_ratio", "speed_interval"):
        assert teacher[key] is None
    assert (finetune["gap_to_teacher"], finetune["gap_closed"]) == (pytest.approx(-0.10), None)
    assert (kd_3["gap_to_teacher"], kd_3["gap_closed"]) == (pytest.approx(-0.15), None)
    assert (kd_3["times_smaller"], kd_3["speed_ratio"]) == (2.5, 3.8)
    assert [group["published"] for group in groups] == [0.7292, None, 0.6751, 0.6101]


def test_the_page_shows_each_number_under_its_heading() -> None:
    page = markdown_report(Report(ROWS, {}, BASE, published), "report.png")
    comparison = ["vs teacher", "gap closed", "parameters", "MB", "times smaller", "times faster"]
    headings = ["model", "accuracy", "95 % interval", *comparison, "F1", "published", "vs published"]
    assert [" ".join(row.values()) for row in table_rows(page, "RTE").values()] == [
        "teacher, 12 layers 70.0 64.4–75.1 – – 110.0M 440.0 – – 80.0 72.9 -2.9",
        "finetune, 6 layers 60.0 54.1–65.6 -10.0 – 55.0M 220.0 2.00 2.00 ± 0.02 – – –",
        "kd, 6 layers 65.0 ± 1.4 (2) 59.2–70.4 -5.0 50 % 55.0M 220.0 2.00 2.00 ± 0.02 – 67.5 -2.5",
        "kd, 3 layers 55.0 49.1–60.8 -15.0 – 44.0M 176.0 2.50 3.80 ± 0.02 – 61.0 -6.0",
    ]
    assert list(table_rows(page, "RTE")["kd, 6 layers"]) == headings
    sections = [line for line in page.splitlines() if line.startswith("#")]
    assert sections == ["# Results", "## RTE", "## Settings", "## Notes"], "no overview of a single task"
    assert "\n\n![Scores by method, and against speed or size](report.png)\n\n" in page
    assert (
        "Selected by accuracy on 277 dev examples; "
        "always giving the most frequent answer scores 52.7. A single text of 32 tokens takes 30 ms in the teacher, "
        "15 ms with 6 layers, 7.89 ms with 3 layers (AMD EPYC, 1 CPU thread).\n"
    ) in page


def test_the_overview_has_a_column_for_each_task_and_a_dash_for_a_missing_model() -> None:
    rows = [row for row in many(["RTE", "CoLA"], seeds=(1,)) if (row.task, row.method) != ("CoLA", "kd")]
    page = page_of(rows, {"CoLA/kd-6l-s1": "the loss is\nnot finite"})
    table = table_rows(page, "All tasks")
    assert list(table["metric"]) == ["", "RTE", "CoLA"]
    assert table["kd, 3 layers"]["CoLA"] == "–"
    for name in ("RTE", "CoLA"):
        (score,) = (r.scores["dev/accuracy"] for r in rows if (r.task, r.method) == (name, "teacher"))
        baselines = {r.baseline for r in rows if r.task == name and r.baseline}
        assert table["teacher, 12 layers"][name] == f"{100 * score:.1f}"
        assert table["most frequent answer"][name] == f"{100 * baselines.pop():.1f}"
    assert list(table)[:3] == ["metric", "teacher, 12 layers", "finetune, 6 layers"]
    assert (
        page.index("## All tasks") < page.index("## RTE") < page.index("## CoLA") < page.index("## Settings")
    )
    assert "- **CoLA/kd-6l-s1**: the loss is not finite\n" in page


def test_settings_that_differ_have_a_column_and_the_others_a_line() -> None:
    settings = {"student.learning_rate": 1e-5, "student.num_epochs": 4}
    rows = [
        TEACHER,
        student("finetune", 0.6, settings=settings, extra={"num_dev": 277, "precision": "float32"}),
        student("kd", 0.6, settings=settings | {"student.learning_rate": 5e-5}, preset="a | b"),
        student("kd", 0.6, seed=2, settings=settings, best_epoch=2),
    ]
    part = page_of(rows).split("## Settings")[1]
    shared = "`student.num_epochs` 4, `teacher.learning_rate` 2e-05, `teacher.num_epochs` 4"
    assert f"The same wherever they apply: `precision` float32, {shared}.\n" in part
    lines = [cells(line) for line in part.splitlines() if line.startswith("|")]
    assert lines[0] == ["task", "model", "`student.learning_rate`", "best epoch", "settings from"]
    assert lines[2:] == [
        ["RTE", "teacher, 12 layers", "–", "3", "teacher_12layer best RTE"],
        ["RTE", "finetune, 6 layers", "1e-05", "3", "pkd_6layer best RTE"],
        ["RTE", "kd, 6 layers", "5e-05 / 1e-05", "3, 2", r"a \| b / pkd_6layer best RTE"],
    ]


def notes_of(rows: list[ResultRow], failures: dict[str, str] | None = None) -> str:
    notes = page_of(rows, failures).split("\n\n## Notes\n\n")[1]
    assert notes.endswith("\n")
    return notes


def test_every_note_is_shown_where_all_apply() -> None:
    skipped = {"num_dev": 277, "skipped_lines": {"train": 21, "test": 3, "dev": 0}}
    several = [student("finetune", 0.6), student("kd", 0.6), student("kd", 0.6, seed=2)]
    single = [TEACHER, student("kd", 0.6)]
    rows = [
        TEACHER,
        *several,
        *(replace(row, task="QQP", extra=skipped) for row in single),
        *(replace(row, task="CoLA") for row in single),
    ]
    assert notes_of(rows, {"QQP/pkd-skip-6l-s1": "no memory", "MRPC/teacher": "no data"}).splitlines() == [
        "- Scores are × 100, on the dev split, at the epoch that scored best there: a little high for unseen data.",
        "- Test splits carry no labels: they are predicted and written as submission files, and never scored.",
        "- ± is the sample standard deviation over seeds, whose number stands in brackets.",
        "- RTE, QQP, CoLA: figures from one seed show little, another seed may well turn the order of the methods "
        "around. Train several seeds before ranking them.",
        "- The 95 % interval (Wilson's) says how far an accuracy on so few examples may lie from that on many; "
        "seeds are not part of it. Models whose intervals overlap much may well be in another order.",
        "- Gap closed is the part of the way from fine-tuning at the same depth (0 %) to the teacher (100 %). It is "
        "not given (–) where the teacher does not lead, or where the fine-tuned accuracy lies within the teacher's "
        "95 % interval.",
        "- Times faster was measured on AMD EPYC, 1 CPU thread, once for each depth of a task: its methods and seeds "
        "share it. ± reaches to the farther end of the 95 % confidence interval. Other machines differ.",
        "- QQP: broken lines of the data files were skipped (3 of test, 21 of train).",
        "- Not everything that was asked for is here: 2 failed, named above.",
    ]


@pytest.mark.parametrize(
    ("rows", "starts"),
    [
        ([replace(TEACHER, extra={})], []),
        ([TEACHER], ["The 95 % interval"]),
        ([student("kd", 0.6, extra={}, speed=None)], ["RTE: figures from one seed"]),
        ([student("kd", 0.6, seed, extra={}, speed=None) for seed in (1, 2)], ["± is"]),
        (
            [TEACHER, student("kd", 0.6)],
            ["RTE: figures from one seed", "The 95 % interval", "Gap closed is", "Times faster was"],
        ),
        ([replace(TEACHER, extra={"skipped_lines": {"dev": 0}})], []),
    ],
    ids=["teacher of another metric", "teacher", "no teacher", "two seeds", "compared", "nothing skipped"],
)
def test_notes_that_do_not_apply_are_left_out(rows: list[ResultRow], starts: list[str]) -> None:
    always, never, *lines = notes_of(rows).splitlines()
    assert (always[:12], never[:13]) == ("- Scores are", "- Test splits")
    assert len(lines) == len(starts)
    assert all(line.startswith(f"- {start}") for line, start in zip(lines, starts, strict=True)), lines


def test_the_json_holds_rows_failures_and_notes(tmp_path: Path) -> None:
    write_report(tmp_path, Report(list(reversed(ROWS)), {"QQP/teacher": "é"}, BASE))
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    report = json.loads(text)
    assert report["rows"] == [asdict(row) for row in ROWS]
    assert report["failures"] == {"QQP/teacher": "é"}
    assert report["base_model"] == {"name": BASE.name, "digest": BASE.digest}
    assert "\n".join(f"- {note}" for note in report["notes"]) in (tmp_path / "report.md").read_text("utf-8")
    assert report["format_version"] == 3
    assert text == json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert "é" in text
    assert [(group.name, group.seeds, group.published) for group in read_summary(tmp_path)] == [
        ("RTE-teacher-12l", [42], None),
        ("RTE-finetune-6l", [1], None),
        ("RTE-kd-6l", [1, 2], None),
        ("RTE-kd-3l", [1], None),
    ]


def test_a_score_that_is_not_a_number_is_never_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path, Report([replace(TEACHER, scores={"dev/accuracy": float("nan")})], {}, BASE))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name, rows in (("a", ROWS), ("b", [*ROWS[:1], *reversed(ROWS[1:])])):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, Report(rows, {"x": "y"}, BASE))
        files.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert list(files[0]) == ["report.html", "report.json", "report.md", "report.png"]
    assert files[0] == files[1]


def test_a_report_without_any_model_names_the_failures(tmp_path: Path) -> None:
    write_report(tmp_path, Report([], {"RTE/teacher": "no data"}, BASE))
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page.startswith(
        "# Results\n\nBase model: `google-bert/bert-base-uncased` (weights `0123456789ab`).\n\n"
        "Nothing to show.\n\n## Failed\n\n- **RTE/teacher**: no data\n\n## Notes\n"
    )
    assert "](report.png)" not in page
    assert (tmp_path / "report.png").stat().st_size > 1000
    assert results_table([], {"RTE/teacher": "no data"}, BASE) == "FAILED RTE/teacher: no data"


def test_the_terminal_table_has_a_line_for_each_group_and_failure_and_shows_names_as_they_are() -> None:
    rows = [
        replace(TEACHER, scores={"dev/accuracy": 0.70, "dev/f1": 0.80}),
        *(student("finetune", 0.60), student("kd", 0.64), student("kd", 0.66, seed=2)),
        replace(
            TEACHER,
            task="a[b] :bug:",
            scores={"dev/f1": 0.80},
            selection="dev/f1",
            extra={},
            baseline=None,
        ),
    ]
    text = results_table(rows, {"QQP/teacher": "out of\nmemory [bold]", "QQP/kd-6l-s1": "no teacher"}, BASE)
    table = """
                                     95 %       vs     gap    times        times
model                    score   interval  teacher  closed  smaller       faster
────────────────────────────────────────────────────────────────────────────────
RTE: accuracy on 277 dev examples, 1 to 2 seeds; most frequent answer 52.7
teacher, 12 layers        70.0  64.4–75.1        –       –        –            –
finetune, 6 layers        60.0  54.1–65.6    -10.0       –     2.00  2.00 ± 0.02
kd, 6 layers        65.0 ± 1.4  59.2–70.4     -5.0    50 %     2.00  2.00 ± 0.02

a[b] :bug:: F1, 1 seed
teacher, 12 layers        80.0          –        –       –        –            –

base model: google-bert/bert-base-uncased (weights 0123456789ab)
times faster: on AMD EPYC, 1 CPU thread

FAILED QQP/teacher: out of memory [bold]
FAILED QQP/kd-6l-s1: no teacher"""
    assert text == table.removeprefix("\n")


def test_the_terminal_table_of_a_large_run_fits_80_columns() -> None:
    lines = results_table(many(GLUE, seeds=(1, 2, 3, 4, 5)), {}, BASE).splitlines()
    assert max(map(len, lines)) <= 80
    assert "RTE: accuracy on 277 dev examples, 5 seeds; most frequent answer " in "\n".join(lines)


def test_the_students_model_is_named_where_it_is_another_than_the_teachers(tmp_path: Path) -> None:
    student_base = BaseModel("small-bert", "fedcba9876543210" * 4)
    models = replace(BASE, student=student_base, remark="Tokens differ.")
    write_report(tmp_path, Report(ROWS, {}, models))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["base_model"] == {"name": BASE.name, "digest": BASE.digest}
    assert report["student_base_model"] == {"name": "small-bert", "digest": "fedcba9876543210" * 4}
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "small-bert</code>, weights\n<code>fedcba987654</code>. Tokens differ.</p>" in html
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"Base model: `{BASE.name}` (weights `0123456789ab`). " in page
    assert "Students' base model: `small-bert` (weights `fedcba987654`). Tokens differ.\n" in page
    assert "\nstudents' base model: small-bert (weights fedcba987654)\n" in results_table(ROWS, {}, models)
    write_report(tmp_path, Report(ROWS, {}, BASE))
    assert "student_base_model" not in (tmp_path / "report.json").read_text(encoding="utf-8")
