"""A report says where the methods that it compares do not start from the same layers."""

import pytest
from report_rows import BASE, TEACHER, student

from pkd_core.report.content import Report
from pkd_core.report.markdown import all_notes
from pkd_core.report.results import ResultRow, aggregate
from pkd_core.report.write import results_table

TEACHERS = {"student.init": "teacher-skip"}
MODELS = {"student.init": "pretrained-first"}


def rows_of(finetuned: dict[str, str], distilled: dict[str, str]) -> list[ResultRow]:
    return [TEACHER, student("finetune", 0.6, settings=finetuned), student("kd", 0.65, settings=distilled)]


def notes_about_layers(rows: list[ResultRow]) -> list[str]:
    return [note for note in all_notes(Report(rows, {}, BASE), aggregate(rows)) if "other layers" in note]


def test_students_that_start_from_other_layers_than_fine_tuned_ones_are_named() -> None:
    rows = rows_of(MODELS, TEACHERS)
    assert notes_about_layers(rows) == [
        "RTE: fine-tuned students start from other layers (pretrained-first) than distilled ones (teacher-skip), so "
        "what one leads the other by is of the layers too. Give both the same to see what the teacher's answers "
        "bring: student.init sets it for all."
    ]
    line = "RTE: finetune starts from pretrained-first, distilled students from teacher-skip"
    assert line in results_table(rows, {}, BASE).splitlines()


@pytest.mark.parametrize(
    "rows",
    [
        rows_of(MODELS, MODELS),
        rows_of(TEACHERS, TEACHERS),
        rows_of({}, MODELS),
        [TEACHER, student("kd", 0.65, settings=TEACHERS)],
        [TEACHER, student("finetune", 0.65, settings=TEACHERS)],
    ],
)
def test_nothing_is_said_where_all_start_alike(rows: list[ResultRow]) -> None:
    assert notes_about_layers(rows) == []
    assert "starts from" not in results_table(rows, {}, BASE)
