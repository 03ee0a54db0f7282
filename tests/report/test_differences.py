"""Which methods can be told apart, as a report says it."""

from dataclasses import replace

import numpy as np

from pkd_core.evaluation.paired_bootstrap import Answers, Difference
from pkd_core.report.differences import (
    MethodAnswers,
    compare_all,
    differences_table,
    notes_on_differences,
    place,
    sentence,
    verdict,
)

LABELS = np.random.default_rng(0).integers(0, 2, 200)


def of(
    method: str,
    accuracy: float,
    num_seeds: int = 3,
    num_layers: int = 6,
    task: str = "RTE",
    split: str = "dev",
) -> MethodAnswers:
    generator = np.random.default_rng(sum(map(ord, method)))
    right = generator.random((num_seeds, len(LABELS))) < accuracy
    answers = Answers(LABELS, np.where(right, LABELS, 1 - LABELS), 2)
    return MethodAnswers(task, num_layers, method, answers, "accuracy", split)


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
    table = differences_table([pair])
    (row,) = (dict(zip(table.headings, row, strict=True)) for row in table.rows)
    points = 100 * pair.result.difference
    assert row["comparison"] == "finetune - kd"
    assert row["difference"] == f"{points:+.1f} ({2 * points:+.1f} of 200 examples)"
    assert (row["p"], row["p (Holm)"], row["verdict"]) == ("0.0005", "0.0005", "kd is better")


def test_what_may_be_chance_is_not_called_better() -> None:
    (pair,) = compare_all([of("finetune", 0.8), of("kd", 0.8)])
    assert verdict(pair) == "not distinguishable"


def test_other_scores_than_accuracy_are_no_count_of_examples() -> None:
    methods = [of("finetune", 0.6), of("kd", 0.9)]
    others = [replace(one, metric="matthews") for one in methods]
    (pair,) = compare_all(others)
    assert pair.num_examples is None
    assert "examples" not in str(differences_table([pair]).rows)


def test_a_single_seed_is_said_to_show_nothing_of_others() -> None:
    single = compare_all([of("finetune", 0.6, num_seeds=1), of("kd", 0.9)])
    several = compare_all([of("finetune", 0.6), of("kd", 0.9)])
    assert len(notes_on_differences(single)) == 2
    assert len(notes_on_differences(several)) == 1
    assert notes_on_differences([]) == []


def test_a_note_says_which_split_the_differences_are_of() -> None:
    on_dev = compare_all([of("finetune", 0.6), of("kd", 0.9)])
    on_test = compare_all([of(name, 0.7, task="Reviews", split="test") for name in ("finetune", "kd")])
    assert [pair.split for pair in (*on_dev, *on_test)] == ["dev", "test"]
    assert notes_on_differences(on_dev)[0].startswith("Differences are of mean dev scores. Their")
    assert notes_on_differences([*on_dev, *on_test])[0].startswith(
        "Differences are of mean dev scores, and of test scores where the test split has labels. Their"
    )


def test_a_sentence_names_the_better_method_first_with_points_examples_and_interval() -> None:
    (pair,) = compare_all([of("finetune", 0.6), of("kd", 0.9)])
    clear = replace(
        pair, num_examples=277, result=Difference("finetune", "kd", -2 / 277, -0.029, 0.014, 0.4, 0.4)
    )
    assert sentence(clear) == (
        "kd leads finetune by 0.7 points (2 of 277 examples), interval -1.4 to 2.9: not distinguishable"
    )
    certain = replace(clear, result=Difference("finetune", "kd", 0.0301, 0.0104, 0.05, 0.001, 0.003))
    assert sentence(certain) == "finetune leads kd by 3.0 points (8.3 of 277 examples), interval 1.0 to 5.0"
    equal = replace(clear, num_examples=None, result=Difference("finetune", "kd", 0.0, -0.01, 0.01, 1.0, 1.0))
    assert sentence(equal) == "finetune equals kd, interval -1.0 to 1.0: not distinguishable"
    assert place(clear) == "RTE, 6 layers"
    assert place(replace(clear, split="test")) == "RTE, 6 layers, test split"
