"""Which methods can be told apart, as a report says it."""

import numpy as np

from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.report.differences import (
    MethodAnswers,
    compare_all,
    differences_table,
    notes_on_differences,
    verdict,
)

LABELS = np.random.default_rng(0).integers(0, 2, 200)


def of(
    method: str, accuracy: float, num_seeds: int = 3, num_layers: int = 6, task: str = "RTE"
) -> MethodAnswers:
    generator = np.random.default_rng(sum(map(ord, method)))
    right = generator.random((num_seeds, len(LABELS))) < accuracy
    answers = Answers(LABELS, np.where(right, LABELS, 1 - LABELS), 2)
    return MethodAnswers(task, num_layers, method, answers, "accuracy")


def test_methods_are_compared_within_a_task_and_a_depth() -> None:
    pairs = compare_all(
        [of("finetune", 0.6), of("kd", 0.9), of("kd", 0.9, num_layers=3), of("finetune", 0.8, num_layers=3),
         of("kd", 0.9, task="MRPC")]
    )  # fmt: skip
    found = [(pair.task, pair.num_layers, pair.result.first, pair.result.second) for pair in pairs]
    assert found == [("RTE", 6, "finetune", "kd"), ("RTE", 3, "kd", "finetune")]


def test_a_line_says_the_difference_in_points_and_in_examples() -> None:
    (pair,) = compare_all([of("finetune", 0.6), of("kd", 0.9)])
    assert verdict(pair) == "kd is better"
    (line,) = differences_table([pair]).splitlines()[2:]
    points = 100 * pair.result.difference
    assert f"| finetune - kd | {points:+.1f} ({2 * points:+.1f} of 200 examples) |" in line
    assert line.endswith("| kd is better |")


def test_what_may_be_chance_is_not_called_better() -> None:
    (pair,) = compare_all([of("finetune", 0.8), of("kd", 0.8)])
    assert verdict(pair) == "not distinguishable"


def test_other_scores_than_accuracy_are_no_count_of_examples() -> None:
    methods = [of("finetune", 0.6), of("kd", 0.9)]
    others = [MethodAnswers(one.task, one.num_layers, one.method, one.answers, "matthews") for one in methods]
    (pair,) = compare_all(others)
    assert pair.num_examples is None
    assert "examples" not in differences_table([pair])


def test_a_single_seed_is_said_to_show_nothing_of_others() -> None:
    single = compare_all([of("finetune", 0.6, num_seeds=1), of("kd", 0.9)])
    several = compare_all([of("finetune", 0.6), of("kd", 0.9)])
    assert len(notes_on_differences(single)) == 2
    assert len(notes_on_differences(several)) == 1
    assert notes_on_differences([]) == []
