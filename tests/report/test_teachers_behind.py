"""A report says where a fine-tuned student leads its teacher: that teacher is not trained to its best."""

from dataclasses import replace

import pytest
from report_rows import BASE, TEACHER, student

from pkd_core.report.content import Report
from pkd_core.report.markdown import all_notes
from pkd_core.report.results import ResultRow, aggregate


def notes_about_teachers(rows: list[ResultRow]) -> list[str]:
    return [
        note for note in all_notes(Report(rows, {}, BASE), aggregate(rows)) if "leads the teacher" in note
    ]


def test_a_teacher_behind_a_student_that_learnt_from_labels_alone_is_named() -> None:
    rows = [
        TEACHER,
        *(student("finetune", score, seed, num_layers=3) for seed, score in ((1, 0.72), (2, 0.70))),
        student("finetune", 0.705),
        student("kd", 0.8),
    ]
    assert notes_about_teachers(rows) == [
        "RTE: finetune, 3 layers (71.0), learns from labels alone and leads the teacher (70.0). A teacher that is "
        "trained at another learning rate, or for more epochs, may be better, and its students with it."
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [TEACHER, student("finetune", 0.70)],
        [TEACHER, student("finetune", 0.69), student("kd", 0.8)],
        [student("finetune", 0.8)],
        # What is no better than the most frequent answer leads nobody.
        [replace(TEACHER, scores={"dev/accuracy": 0.4}), student("finetune", 0.5)],
        # The test split, where it has labels, decides.
        [
            replace(TEACHER, scores={"dev/accuracy": 0.6, "test/accuracy": 0.8}),
            student("finetune", 0.7, scores={"dev/accuracy": 0.7, "test/accuracy": 0.75}),
        ],
    ],
)
def test_no_other_teacher_is(rows: list[ResultRow]) -> None:
    assert notes_about_teachers(rows) == []
