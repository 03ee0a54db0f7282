"""Groups and their comparisons equal numbers computed independently."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_rows import TEACHER, many, speed, student

from pkd_core.report.intervals import wilson_interval
from pkd_core.report.write import ResultRow, aggregate


def test_groups_hold_mean_and_sample_deviation_over_seeds() -> None:
    scores = [0.61, 0.65, 0.66]
    rows = [TEACHER, *(student("kd", score, seed) for seed, score in enumerate(scores))]
    teacher, group = aggregate(rows)
    assert group.score == pytest.approx(np.mean(scores))
    assert group.std["dev/accuracy"] == pytest.approx(np.std(scores, ddof=1))
    assert teacher.std["dev/accuracy"] is None, "one seed has no deviation"
    assert group.interval == wilson_interval(0.64, 277)


def test_groups_are_compared_with_teacher_and_fine_tuning_of_their_own_task() -> None:
    rte = [TEACHER, student("finetune", 0.60), student("kd", 0.65), student("pkd-skip", 0.58)]
    mrpc = [
        replace(TEACHER, parameters=220_000_000, scores={"dev/accuracy": 0.90}),
        student("finetune", 0.50),
    ]
    mrpc += [student("kd", 0.60), student("pkd-last", 0.95)]
    groups = aggregate(rte + [replace(row, task="MRPC") for row in mrpc])
    gaps = [(group.task, group.method, group.gap_to_teacher, group.gap_closed) for group in groups]
    assert gaps == [
        ("RTE", "teacher", None, None),
        ("RTE", "finetune", pytest.approx(-0.10), None),
        ("RTE", "kd", pytest.approx(-0.05), pytest.approx(0.5)),
        ("RTE", "pkd-skip", pytest.approx(-0.12), pytest.approx(-0.2)),
        ("MRPC", "teacher", None, None),
        ("MRPC", "finetune", pytest.approx(-0.40), None),
        ("MRPC", "kd", pytest.approx(-0.30), pytest.approx(0.25)),
        ("MRPC", "pkd-last", pytest.approx(0.05), pytest.approx(1.125)),
    ]
    assert [group.times_smaller for group in groups] == [None, 2.0, 2.0, 2.0, None, 4.0, 4.0, 4.0]


def test_a_model_is_useless_where_it_is_no_better_on_the_split_that_is_shown() -> None:
    extra = {"num_dev": 277, "num_test": 100}
    scores = {"dev/accuracy": 0.9, "test/accuracy": 0.4}
    (group,) = aggregate([replace(TEACHER, scores=scores, extra=extra, baseline=0.4)])
    assert (group.final, group.final_split, group.score) == ("test/accuracy", "test", 0.4)
    assert group.is_useless
    assert group.interval == wilson_interval(0.4, 100)
    f1 = replace(TEACHER, scores={"dev/accuracy": 0.9, "test/f1": 0.4})
    assert f1.final == "dev/accuracy", "another metric selected nothing"


def test_an_interval_belongs_to_accuracies_alone() -> None:
    f1 = replace(TEACHER, scores={"dev/f1": 0.70}, selection="dev/f1")
    assert [group.interval for group in aggregate([f1])] == [None]
    assert [group.interval for group in aggregate([replace(TEACHER, extra={})])] == [None]


def test_all_seeds_of_a_depth_have_its_one_measured_speed() -> None:
    (group,) = aggregate([student("kd", 0.6, seed, speed=speed(2.2)) for seed in (1, 2)])
    assert group.speed == speed(2.2)
    with pytest.raises(AssertionError, match="one measured speed a depth"):
        aggregate([student("kd", 0.6, seed, speed=speed(seed)) for seed in (1, 2)])


def test_scores_of_other_metrics_come_after_the_selecting_one() -> None:
    scores = {"dev/accuracy": 0.7, "dev-mismatched/accuracy": 0.6}
    (group,) = aggregate([replace(TEACHER, scores=scores)])
    assert list(group.mean) == ["dev/accuracy", "dev-mismatched/accuracy"]


@pytest.mark.parametrize(
    ("teacher", "finetuned", "num_dev", "is_defined"),
    [
        (0.70, 0.70, None, False),
        (0.70, 0.72, None, False),
        (0.70, 0.69, None, True),
        (0.70, 0.65, 277, False),  # the teacher's interval begins at 0.6435
        (0.70, 0.64, 277, True),
        (0.70, 0.69, 40_430, True),
        (1.00, 0.99, 277, False),  # a perfect teacher's at 0.9863
        (1.00, 0.98, 277, True),
    ],
)
def test_no_gap_is_closed_where_the_teachers_lead_may_be_chance(
    teacher: float, finetuned: float, num_dev: int | None, is_defined: bool
) -> None:
    first = replace(TEACHER, extra={"num_dev": num_dev}, scores={"dev/accuracy": teacher})
    rows = [first, student("finetune", finetuned), student("kd", 0.695)]
    assert (aggregate(rows)[-1].gap_closed is not None) == is_defined


def test_depths_are_compared_with_fine_tuning_at_the_same_depth_only() -> None:
    rows = [TEACHER, student("finetune", 0.60), student("kd", 0.55, num_layers=3)]
    assert aggregate(rows)[-1].gap_closed is None


def test_without_a_teacher_nothing_is_compared() -> None:
    groups = aggregate([student("finetune", 0.60), student("kd", 0.65)])
    assert {group.gap_to_teacher for group in groups} == {group.gap_closed for group in groups} == {None}


@settings(max_examples=30)
@given(order=st.permutations(many(["RTE", "MRPC"], seeds=(1, 2))))
def test_the_order_of_rows_changes_only_the_order_of_tasks(order: list[ResultRow]) -> None:
    groups = sorted(aggregate(order), key=lambda group: group.task)
    assert groups == sorted(aggregate(many(["RTE", "MRPC"], seeds=(1, 2))), key=lambda group: group.task)
