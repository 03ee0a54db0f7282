"""Groups and their comparisons agree with other arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import TEACHER, many, student

from pkd_core.report.write import ResultRow, aggregate


def test_groups_hold_mean_and_sample_deviation_over_seeds() -> None:
    scores = [0.61, 0.65, 0.66]
    rows = [TEACHER, *(student("kd", score, seed) for seed, score in enumerate(scores))]
    teacher, group = aggregate(rows)
    assert group.score == pytest.approx(np.mean(scores))
    assert group.std["dev/accuracy"] == pytest.approx(np.std(scores, ddof=1))
    assert teacher.std["dev/accuracy"] is None, "one seed has no deviation"
    assert group.standard_error == pytest.approx(np.std([1.0] * 64 + [0.0] * 36) / 277**0.5)


def test_groups_are_compared_with_their_teacher_and_fine_tuned_student() -> None:
    rows = [TEACHER, student("finetune", 0.60), student("kd", 0.65), student("pkd-skip", 0.58)]
    teacher, finetune, kd, skip = aggregate(rows)
    assert (teacher.gap_to_teacher, teacher.gap_closed, teacher.times_smaller) == (None, None, None)
    assert (finetune.gap_to_teacher, finetune.gap_closed) == (pytest.approx(-0.10), None)
    assert (kd.gap_to_teacher, kd.gap_closed) == (pytest.approx(-0.05), pytest.approx(0.5))
    assert skip.gap_closed == pytest.approx(-0.2)
    assert kd.times_smaller == 2.0


@pytest.mark.parametrize(
    ("finetuned", "num_dev", "is_defined"),
    [(0.70, None, False), (0.72, None, False), (0.69, None, True), (0.69, 277, False), (0.69, 40_430, True)],
)
def test_a_gap_that_is_absent_or_within_chance_is_not_divided_by(
    finetuned: float, num_dev: int | None, is_defined: bool
) -> None:
    extra = {"num_dev": num_dev}
    rows = [replace(TEACHER, extra=extra), student("finetune", finetuned), student("kd", 0.695)]
    assert (aggregate(rows)[-1].gap_closed is not None) == is_defined


def test_depths_are_compared_with_fine_tuning_at_the_same_depth_only() -> None:
    rows = [TEACHER, student("finetune", 0.60), student("kd", 0.55, num_layers=3)]
    assert aggregate(rows)[-1].gap_closed is None


def test_without_a_teacher_nothing_is_compared() -> None:
    groups = aggregate([student("finetune", 0.60), student("kd", 0.65)])
    assert {group.gap_to_teacher for group in groups} == {group.gap_closed for group in groups} == {None}


@given(order=st.permutations(many(["RTE", "MRPC"], seeds=(1, 2))))
def test_order_of_rows_changes_at_most_the_order_of_tasks(order: list[ResultRow]) -> None:
    groups = sorted(aggregate(order), key=lambda group: group.task)
    assert groups == sorted(aggregate(many(["RTE", "MRPC"], seeds=(1, 2))), key=lambda group: group.task)
