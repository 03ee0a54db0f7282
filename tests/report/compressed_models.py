"""Evaluated models of a made-up compression, and the compression of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.result import EvaluationResult
from pkd_core.latency.result import Format, LatencyRow
from pkd_core.report.compression.content import ClassScore, Compression, DataLook, Machine, Training
from pkd_core.report.compression.distilling import compare_with_finetuning
from pkd_core.report.compression.models import EvaluatedModel, final_split
from pkd_core.report.compression.variants import compare_variants

Array = np.ndarray[Any, Any]

NUM_EXAMPLES = 400
SIZES: Mapping[Format, int | None] = {
    "torch-float32": 69_600_000,
    "onnx-float32": 69_700_000,
    "onnx-int8": 17_600_000,
}
TEACHER_SIZES: Mapping[Format, int | None] = {
    "torch-float32": 90_900_000,
    "onnx-float32": 91_300_000,
    "onnx-int8": 23_300_000,
}


def timing(model: str, format: Format, p50_ms: float, texts_per_second: float) -> LatencyRow:
    """Return times of 1000 calls, whose p99 is one and a half times the median."""
    return LatencyRow(
        model=model,
        format=format,
        p50_ms=p50_ms,
        p99_ms=1.5 * p50_ms,
        wall_p50_ms=1.1 * p50_ms,
        wall_p99_ms=2 * p50_ms,
        texts_per_second=texts_per_second,
        num_calls=1000,
        num_batches=20,
        size_bytes=1,
    )


TIMINGS = (
    timing("teacher", "torch-float32", 15.6, 170.0),
    timing("teacher", "onnx-float32", 9.3, 210.0),
    timing("teacher", "onnx-int8", 3.8, 420.0),
    timing("kd-3l-s42", "torch-float32", 7.5, 340.0),
    timing("kd-3l-s42", "onnx-float32", 4.4, 313.0),
    timing("kd-3l-s42", "onnx-int8", 1.8, 744.0),
)


def answers(num_wrong: int, first_wrong: int = 0, num_classes: int = 3) -> AnswerTable:
    """Return answers to the same examples, wrong on some consecutive ones, where the next class is given."""
    labels_R = np.arange(NUM_EXAMPLES) % num_classes
    wrong_R = np.zeros(NUM_EXAMPLES, bool)
    wrong_R[first_wrong : first_wrong + num_wrong] = True
    predictions_R = np.where(wrong_R, (labels_R + 1) % num_classes, labels_R)
    logits_RC = 2.0 * np.eye(num_classes)[predictions_R]
    return AnswerTable(np.arange(NUM_EXAMPLES), labels_R, predictions_R, logits_RC)


def model(
    name: str,
    table: AnswerTable,
    int8: AnswerTable | None = None,
    split: str = "test",
    sizes: Mapping[Format, int | None] = SIZES,
    **changes: Any,
) -> EvaluatedModel:
    """Return an evaluated model; the method and the depth are read from its name."""
    method = name.partition("-3l-")[0]
    score = float((table.predictions_R == table.labels_R).mean())
    result = EvaluationResult(
        task="Reviews",
        method=method,
        num_layers=6 if method == "teacher" else 3,
        seed=None if method == "teacher" else 42,
        scores={"dev/accuracy": 0.9, f"{split}/accuracy": score},
        selection="dev/accuracy",
        baseline=0.4,
        num_dev=200,
        predicted_classes=3,
        parameters=22_000_000 if method == "teacher" else 17_000_000,
        size_bytes=sizes["torch-float32"] or 0,
        speed=None,
        best_epoch=3,
        precision="float32",
        settings={"student.learning_rate": 5e-5},
        hidden_size=384,
        skipped_lines={},
    )
    return replace(EvaluatedModel(name, result, table, sizes, int8), **changes)


TEACHER = model("teacher", answers(40), answers(42), sizes=TEACHER_SIZES)
STUDENT = model("kd-3l-s42", answers(48), answers(50))
FINETUNED = model("finetune-3l-s42", answers(100), sizes={"torch-float32": 69_600_000})


def compression(
    teacher: EvaluatedModel = TEACHER,
    student: EvaluatedModel = STUDENT,
    others: Sequence[EvaluatedModel] = (FINETUNED,),
    timings: Sequence[LatencyRow] = TIMINGS,
    **changes: Any,
) -> Compression:
    """Return a compression of these models, without disagreements."""
    made = Compression(
        task="Reviews",
        text_columns=("text",),
        labels=("bad", "fair", "good"),
        is_multi_label=False,
        metric="accuracy",
        split=final_split(teacher.result),
        num_examples=NUM_EXAMPLES,
        baseline=0.4,
        variants=compare_variants(teacher, student, others, timings),
        distilling=compare_with_finetuning(student, others),
        deployed="onnx-float32" if student.refused else "onnx-int8",
        budget_ms=None,
        machine=Machine("AMD EPYC", 1, is_busy=False),
        data=DataLook(
            rows={"train": 1000, "dev": 200, "test": NUM_EXAMPLES},
            label_counts={"good": 500, "fair": 300, "bad": 200},
            length_percentiles={50: 12, 95: 40, 100: 128},
            max_length=128,
            share_cut=0.013,
        ),
        classes=(ClassScore("fair", 133, 0.91, 0.85),),
        disagreements=(),
        training=Training(
            teacher="reviews-bert",
            has_own_teacher=True,
            student_base="reviews-bert",
            settings={"student.learning_rate": 5e-5},
            teacher_settings={},
            best_epoch=3,
            precision="float32",
        ),
        versions={"Python": "3.11.2", "pkd": "0.1.0"},
        command="pkd compress reviews.csv",
    )
    return replace(made, **changes)
