"""What a compression's verdict says, case by case."""

import re
from dataclasses import replace

import pytest
from compressed_models import (
    FINETUNED,
    SIZES,
    STUDENT,
    TEACHER,
    TEACHER_SIZES,
    TIMINGS,
    answers,
    compression,
    model,
    timing,
)

from pkd_core.evaluation.answers import AnswerTable
from pkd_core.latency.result import LatencyRow
from pkd_core.report.compression.content import Compression, Machine
from pkd_core.report.compression.distilling import compare_with_finetuning
from pkd_core.report.compression.models import EvaluatedModel
from pkd_core.report.compression.verdict import judge


def timed(**p50: float) -> list[LatencyRow]:
    """Return the usual times with other medians: those of the teacher and of the student, in int8 or float32."""
    keys = {
        "teacher_int8": ("teacher", "onnx-int8"),
        "float32": ("kd-3l-s42", "onnx-float32"),
        "int8": ("kd-3l-s42", "onnx-int8"),
    }
    changed = {keys[name]: value for name, value in p50.items()}
    return [
        timing(row.model, row.format, changed.get((row.model, row.format), row.p50_ms), 100.0)
        for row in TIMINGS
    ]


def objections(made: Compression) -> list[str]:
    return [re.split("[:.] ", sentence)[0] for sentence in judge(made).objections]


def test_it_says_what_there_was_what_there_is_and_what_it_cost() -> None:
    verdict = judge(compression())
    assert verdict.had == (
        "teacher, 6 layers (PyTorch, float32): accuracy 90.0 (86.7–92.6), 90.9 MB, 15.6 ms a text (p99 23.4 "
        "ms)."
    )
    assert verdict.have == (
        "kd, 3 layers (ONNX, int8): accuracy 87.5 (83.9–90.4), 17.6 MB, 1.8 ms a text (p99 2.7 ms); that is "
        "8.7 times faster and 5.2 times smaller."
    )
    assert verdict.cost.startswith(
        "Its score is 2.5 points lower than the teacher's (10 of 400 test examples; 95 % interval -4."
    )
    assert verdict.cost.endswith("). It gives the teacher's answer to 97.5 % of the examples.")


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(15.0, "as fast and"), (17.0, "1.1 times slower and"), (13.0, "1.2 times faster and")],
)
def test_hardly_any_gain_is_none(milliseconds: float, words: str) -> None:
    made = compression(timings=timed(int8=milliseconds))
    assert judge(made).have.endswith(f"; that is {words} 5.2 times smaller.")


def test_a_compression_that_paid_has_no_objection() -> None:
    verdict = judge(compression(timings=timed(teacher_int8=5.0)))
    assert verdict.objections == ()
    (remark,) = verdict.remarks
    assert remark.startswith(
        "Distilling paid. In PyTorch, the score of kd is 13.0 points higher than that of the same student fine-tuned "
        "on the labels alone (52 of 400 test examples; 95 % interval +9."
    )
    assert remark.endswith(
        "This rests on one seed of each method: more seeds (--seeds 1,2,3) say it more surely."
    )


def test_a_quantised_teacher_that_is_faster_than_the_student_makes_distilling_useless() -> None:
    made = compression(timings=timed(teacher_int8=1.7))
    assert objections(made) == ["Distilling did not pay"]
    (sentence,) = judge(made).objections
    assert "the teacher in int8 takes 1.7 ms a text (p99 2.5 ms), and the student 1.8 ms. " in sentence
    assert "Its score is 0.5 points lower than before (2 of 400 test examples; 95 % interval -" in sentence
    assert "that may be chance). Use the teacher in int8" in sentence


def test_a_quantised_teacher_that_keeps_to_the_budget_makes_distilling_unneeded() -> None:
    assert objections(compression(budget_ms=6.0)) == ["Distilling was not needed to keep to 6.0 ms"]
    assert "2.1 times faster than that" in judge(compression(budget_ms=6.0)).objections[0]
    assert objections(compression(budget_ms=5.0)) == [
        "Quantising alone is worth more than distilling alone"
    ], "its p99 of 5.7 ms is over the budget, not its median"


def test_a_quantised_teacher_that_is_faster_than_the_float32_student_is_named() -> None:
    (sentence,) = judge(compression()).objections
    assert sentence.startswith(
        "Quantising alone is worth more than distilling alone: the teacher in int8 takes 3.8 ms"
    )
    assert "the student in float32 4.4 ms" in sentence
    assert sentence.endswith("The student in int8 is 2.1 times faster than that.")
    assert objections(compression(timings=timed(float32=3.7))) == []


@pytest.mark.parametrize("change", ["refused", "not exported", "not timed"])
def test_a_teacher_without_int8_is_compared_with_nothing(change: str) -> None:
    teacher, timings = TEACHER, timed(teacher_int8=0.1)
    if change == "refused":
        teacher = replace(
            TEACHER, refused="too many answers change.", sizes={**TEACHER_SIZES, "onnx-int8": None}
        )
    elif change == "not exported":
        teacher = replace(TEACHER, int8_answers=None, sizes={"torch-float32": 90_900_000})
    else:
        timings = [row for row in timings if row.format != "onnx-int8"]
    assert objections(compression(teacher, timings=timings)) == []


def test_a_refused_int8_is_named_and_the_float32_student_is_judged() -> None:
    refused = model(
        "kd-3l-s42",
        answers(48),
        answers(100),
        sizes={**SIZES, "onnx-int8": None},
        refused="int8 is not published: it changes too many.",
    )
    made = compression(student=refused)
    assert objections(made) == ["Distilling did not pay", "int8 is not published"]
    assert "kd, 3 layers (ONNX, float32): accuracy 88.0" in judge(made).have
    assert judge(made).objections[1] == refused.refused


@pytest.mark.parametrize(
    ("num_wrong", "objection"),
    [
        (51, "Distilling cannot be told apart from plain fine-tuning"),
        (50, "Distilling cannot be told apart from plain fine-tuning"),
        (49, "Distilling cannot be told apart from plain fine-tuning"),
        (10, "Distilling did harm"),
    ],
)
def test_plain_fine_tuning_that_is_as_good_or_better_is_named(num_wrong: int, objection: str) -> None:
    finetuned = model("finetune-3l-s42", answers(num_wrong), sizes={"torch-float32": 1})
    made = compression(others=[finetuned], timings=timed(float32=3.7))
    assert objections(made) == [objection]
    assert judge(made).remarks == ()


def test_a_fine_tuned_student_that_was_chosen_says_that_distilling_did_not_pay() -> None:
    chosen = replace(FINETUNED, answers=answers(51), sizes=SIZES, int8_answers=answers(51))
    made = compression(student=chosen, others=[STUDENT], timings=timed(float32=3.7))
    assert objections(made) == ["Distilling did not pay"]
    (sentence,) = judge(made).objections
    assert sentence.startswith(
        "Distilling did not pay: on dev, no method was better than fine-tuning on the labels alone, which was chosen. "
        "In PyTorch, the score of kd is 0.7 points higher than"
    )
    assert judge(made).remarks == ()


def test_distilled_students_that_are_better_on_test_alone_are_named_with_the_means_to_have_them() -> None:
    chosen = replace(FINETUNED, sizes=SIZES, int8_answers=answers(100))
    made = compression(student=chosen, others=[STUDENT], timings=timed(float32=3.7))
    assert objections(made) == ["Distilling paid, but was not chosen"]
    (sentence,) = judge(made).objections
    assert sentence.startswith(
        "Distilling paid, but was not chosen: on dev, no method was better than fine-tuning on the labels alone, which "
        "was chosen. In PyTorch, the score of kd is 13.0 points higher than"
    )
    assert sentence.endswith(" To have a student of it, add --methods kd.")
    assert judge(made).remarks == ()


def test_students_that_start_from_other_layers_than_fine_tuned_ones_are_not_called_the_same() -> None:
    settings = {"student.init": "pretrained-first"}
    finetuned = replace(FINETUNED, result=replace(FINETUNED.result, settings=settings))
    (remark,) = judge(compression(others=[finetuned])).remarks
    assert "than that of a student fine-tuned on the labels alone, from other layers (52 of" in remark


def test_a_constant_answer_to_a_task_of_scores_is_the_mean() -> None:
    made = compression(
        student=model("kd-3l-s42", answers(240), answers(240)), others=[], timings=(), labels=()
    )
    assert judge(made).objections == (
        "The student is no better than always giving the mean score (40.0): do not use it.",
    )


def of_seeds(method: str, *num_wrong: int) -> list[EvaluatedModel]:
    """Return students of seeds 1, 2 ... of one method; each is wrong on examples of its own."""
    return [
        seeded(f"{method}-3l-s{seed}", seed, answers(number, first_wrong=100 * (seed - 1)))
        for seed, number in enumerate(num_wrong, 1)
    ]


def seeded(name: str, seed: int, table: AnswerTable) -> EvaluatedModel:
    made = model(name, table, sizes={"torch-float32": 69_600_000})
    return replace(made, result=replace(made.result, seed=seed))


def test_whether_distilling_paid_rests_on_all_seeds_of_both_methods() -> None:
    """The chosen seed leads the first fine-tuned one by 20 points, and the means of all are the same."""
    kd, finetuned = of_seeds("kd", 10, 40, 100), of_seeds("finetune", 90, 50, 10)
    made = compression(student=kd[0], others=[*kd[1:], *finetuned], deployed="torch-float32", timings=())
    assert made.distilling is not None
    assert (made.distilling.method, made.distilling.num_seeds, made.distilling.num_finetuned) == ("kd", 3, 3)
    assert made.distilling.gap.difference == pytest.approx(0.0)
    assert made.distilling.gap.low < -0.1 < 0.1 < made.distilling.gap.high, (
        "seeds differ by more than examples"
    )
    (objection,) = judge(made).objections
    assert objection.startswith(
        "Distilling cannot be told apart from plain fine-tuning. In PyTorch, the mean score of 3 seeds of kd is the "
        "same as that of 3 that were fine-tuned on the labels alone (95 % interval -"
    )
    assert made.student.vs_finetuning is not None
    assert made.student.vs_finetuning.difference == pytest.approx(0.1), "to the mean of the three"
    assert {one.role for one in made.variants if one.method == "finetune"} == {"fine-tuned"}


def test_seeds_of_different_numbers_are_named() -> None:
    kd, finetuned = of_seeds("kd", 10, 12, 14), of_seeds("finetune", 100)
    made = compression(student=kd[1], others=[kd[0], kd[2], *finetuned], deployed="torch-float32", timings=())
    (remark,) = judge(made).remarks
    assert remark.startswith(
        "Distilling paid. In PyTorch, the mean score of 3 seeds of kd is 22.0 points higher than that of one that was "
        "fine-tuned on the labels alone (88 of 400 test examples; 95 % interval +"
    )


def test_of_several_methods_the_chosen_one_is_compared_else_the_best_on_dev() -> None:
    kd, skip, finetuned = of_seeds("kd", 10, 12), of_seeds("pkd-skip", 30, 32), of_seeds("finetune", 20, 22)
    scores = {"dev/accuracy": 0.95, "test/accuracy": 0.9}
    better = [replace(one, result=replace(one.result, scores=scores)) for one in skip]
    chosen = compare_with_finetuning(kd[0], [kd[1], *better, *finetuned])
    assert chosen is not None
    assert chosen.method == "kd"
    best = compare_with_finetuning(finetuned[0], [*kd, *better, finetuned[1]])
    assert best is not None
    assert best.method == "pkd-skip"
    assert best.gap.num_examples == -10
    assert compare_with_finetuning(kd[0], [kd[1], *better]) is None
    assert compare_with_finetuning(finetuned[0], [finetuned[1]]) is None


def test_a_student_that_learnt_nothing_is_not_to_be_used() -> None:
    made = compression(student=model("kd-3l-s42", answers(240), answers(240)), others=[], timings=())
    assert judge(made).objections == (
        "The student is no better than always giving the most frequent answer (40.0): do not use it.",
    )
    assert "ms" not in judge(made).have


def test_a_budget_is_kept_or_not() -> None:
    timings = timed(teacher_int8=9.0)
    assert (
        "at most 2.7 ms, which is within the 5.0 ms"
        in judge(compression(timings=timings, budget_ms=5.0)).remarks[1]
    )
    assert (
        "at most 2.7 ms, which is more than the 2.0 ms"
        in judge(compression(timings=timings, budget_ms=2.0)).remarks[1]
    )


def test_scores_of_dev_and_a_busy_machine_are_named() -> None:
    made = compression(split="dev", machine=Machine("AMD EPYC", 1, is_busy=True))
    remarks = judge(made).remarks
    assert "no labelled test split" in remarks[1]
    assert "was busy" in remarks[2]
    assert "400 dev examples" in judge(made).cost


def test_scores_against_the_teachers_own_answers_are_called_agreement() -> None:
    made = replace(compression(timings=timed(teacher_int8=5.0)), labelled_by="my-teacher")
    assert (
        "The data have no labels of their own: my-teacher gave them. Scores are agreement with it, and do not say how "
        "often it is right."
    ) in judge(made).remarks
    assert not [remark for remark in judge(compression()).remarks if "labels of their own" in remark]
    assert (
        "than that of the same student fine-tuned on the teacher's labels alone (52 of"
        in judge(made).remarks[0]
    )
