"""The formats of teacher and students: scores, intervals, differences, agreement, times."""

from dataclasses import replace

import numpy as np
import pytest
from compressed_models import (
    FINETUNED,
    NUM_EXAMPLES,
    SIZES,
    STUDENT,
    TEACHER,
    TIMINGS,
    answers,
    model,
    timing,
)

from pkd_core.evaluation.answers import AnswerTable
from pkd_core.report.compression.content import Variant
from pkd_core.report.compression.models import EvaluatedModel, final_split
from pkd_core.report.compression.variants import compare_variants
from pkd_core.report.intervals import wilson_interval


def by_format(variants: list[Variant]) -> dict[tuple[str, str], Variant]:
    return {(one.model, one.format): one for one in variants}


ALL = compare_variants(TEACHER, STUDENT, [FINETUNED], TIMINGS)


def test_every_format_of_every_model_is_scored_on_the_same_examples() -> None:
    assert [(one.role, one.format, one.score) for one in ALL] == [
        ("teacher", "torch-float32", 0.9),
        ("teacher", "onnx-float32", 0.9),
        ("teacher", "onnx-int8", 0.895),
        ("student", "torch-float32", 0.88),
        ("student", "onnx-float32", 0.88),
        ("student", "onnx-int8", 0.875),
        ("fine-tuned", "torch-float32", 0.75),
    ]
    assert ALL[5].interval == wilson_interval(0.875, NUM_EXAMPLES)


def test_differences_are_in_points_and_examples_and_are_told_apart_from_chance() -> None:
    found = by_format(ALL)
    int8 = found["kd-3l-s42", "onnx-int8"]
    assert int8.vs_teacher is not None
    assert int8.vs_teacher.difference == pytest.approx(-0.025)
    assert int8.vs_teacher.num_examples == -10
    assert int8.vs_teacher.low < -0.025 < int8.vs_teacher.high < 0
    assert int8.vs_teacher.is_distinguishable
    assert int8.vs_finetuning is not None
    assert int8.vs_finetuning.num_examples == 50
    assert found["teacher", "torch-float32"].vs_teacher is None
    assert found["teacher", "onnx-float32"].vs_teacher is None, "the same answers"
    teacher_int8 = found["teacher", "onnx-int8"].vs_teacher
    assert teacher_int8 is not None
    assert teacher_int8.num_examples == -2
    assert not teacher_int8.is_distinguishable
    assert found["finetune-3l-s42", "torch-float32"].vs_finetuning is None
    assert found["teacher", "onnx-int8"].vs_finetuning is None


def test_agreement_is_the_share_of_equal_answers() -> None:
    found = by_format(compare_variants(TEACHER, model("kd-3l-s42", answers(40, first_wrong=20)), [], []))
    assert found["kd-3l-s42", "torch-float32"].agreement == 1 - 40 / NUM_EXAMPLES
    assert found["teacher", "torch-float32"].agreement is None


def test_a_student_that_was_not_timed_takes_the_time_of_one_of_its_shape() -> None:
    finetuned = by_format(ALL)["finetune-3l-s42", "torch-float32"]
    assert finetuned.timing == TIMINGS[3]
    own = timing("finetune-3l-s42", "torch-float32", 8.0, 300.0)
    variants = compare_variants(TEACHER, STUDENT, [FINETUNED], [*TIMINGS, own])
    assert by_format(variants)["finetune-3l-s42", "torch-float32"].timing == own
    assert by_format(variants)["kd-3l-s42", "torch-float32"].timing == TIMINGS[3]


def test_a_refused_format_keeps_its_score_and_says_why() -> None:
    refused = model(
        "kd-3l-s42",
        answers(48),
        answers(100),
        sizes={**SIZES, "onnx-int8": None},
        refused="its answers change on 13.0 % of dev, more than 2.0 %.",
    )
    int8 = by_format(compare_variants(TEACHER, refused, [], TIMINGS))["kd-3l-s42", "onnx-int8"]
    assert (int8.score, int8.size_bytes, int8.refused) == (0.75, None, refused.refused)
    assert int8.timing is None


def test_a_chosen_student_that_was_fine_tuned_is_compared_with_no_other_fine_tuning() -> None:
    variants = compare_variants(TEACHER, FINETUNED, [STUDENT], TIMINGS)
    roles = {one.model: one.role for one in variants}
    assert roles == {"teacher": "teacher", "finetune-3l-s42": "student", "kd-3l-s42": "other"}
    other = by_format(variants)["kd-3l-s42", "torch-float32"].vs_finetuning
    assert other is not None
    assert other.num_examples == 52


def test_scores_have_a_bootstrap_interval_and_no_agreement() -> None:
    generator = np.random.default_rng(0)
    labels_R = generator.normal(size=300)

    def scored(name: str, noise: float) -> EvaluatedModel:
        logits_RC = (labels_R + noise * generator.normal(size=300))[:, None]
        table = AnswerTable(np.arange(300), labels_R, logits_RC[:, 0], logits_RC)
        made = model(name, table, sizes={"torch-float32": 1})
        scores = {"dev/pearson": 0.5, "test/pearson": 0.5}
        return replace(made, result=replace(made.result, scores=scores, selection="dev/pearson"))

    variants = compare_variants(scored("teacher", 0.3), scored("kd-3l-s42", 0.6), [], [])
    student = variants[1]
    assert student.interval is not None
    assert student.score is not None
    assert student.interval[0] < student.score < student.interval[1] < 1
    assert student.agreement is None
    assert student.vs_teacher is not None
    assert student.vs_teacher.num_examples is None
    assert student.vs_teacher.is_distinguishable


def test_the_final_split_is_a_labelled_test_split_if_there_is_one() -> None:
    assert final_split(TEACHER.result) == "test"
    assert final_split(model("teacher", answers(1), split="dev").result) == "dev"
