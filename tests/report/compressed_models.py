"""Evaluated models of a made-up compression, and the compression of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.result import EvaluationResult
from pkd_core.report.compression.content import Format, Timing
from pkd_core.report.compression.variants import EvaluatedModel, Timings

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
TIMINGS: Timings = {
    ("teacher", "torch-float32"): Timing(15.6, 23.0, 170.0),
    ("teacher", "onnx-float32"): Timing(9.3, 14.0, 210.0),
    ("teacher", "onnx-int8"): Timing(3.8, 5.9, 420.0),
    ("kd-3l-s42", "torch-float32"): Timing(7.5, 11.0, 340.0),
    ("kd-3l-s42", "onnx-float32"): Timing(4.4, 6.6, 313.0),
    ("kd-3l-s42", "onnx-int8"): Timing(1.8, 2.7, 744.0),
}


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
