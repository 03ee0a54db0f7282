"""Settings for a classifier of one's own: the published presets are BERT-base's on GLUE, and fit nothing else well.

Every value is over the presets, and under what a user gives. Where they were measured: docs/results.md.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pkd_core.config.readers import methods_reading
from pkd_core.config.settings import Method, TokensConfig

# Hidden sizes up to this one need higher rates: at width 384, 2e-4 led 5e-5 by 1 to 10 points on held-out rows.
_NARROW = 512
_STUDENT_RATES = (2e-4, 5e-5)
_TEACHER_RATES = (1e-4, 3e-5)
# Optimizer steps that a training is to have: small data need many passes, and large data few.
_STEPS = (3000, 2000)
_EPOCHS = (3, 30)
_BATCH = 32
# Below so many rows, half the batch: 30 passes of large batches are too few steps.
_FEW_ROWS = 2000


@dataclass(frozen=True)
class Amounts:
    """What the settings depend on.

    Attributes:
        num_train: Training rows.
        num_transfer: Rows without labels that distilled students learn from too.
        teacher_width: Hidden size of the teacher's pretrained model; None for a teacher that was given.
        student_width: Hidden size of the students'.
        max_length: Most tokens that all models read.
        has_scores: Whether the labels are scores.
        has_common_layers: Whether students and teacher are of one pretrained model, so that students can take layers
            of the teacher.
    """

    num_train: int
    num_transfer: int
    teacher_width: int | None
    student_width: int
    max_length: int
    has_scores: bool = False
    has_common_layers: bool = False


def recommended_settings(amounts: Amounts, methods: Iterable[Method]) -> dict[str, Any]:
    """Return the recommended settings by dotted key, without those that none of the methods reads.

    >>> amounts = Amounts(num_train=10_000, num_transfer=0, teacher_width=768, student_width=384, max_length=512)
    >>> found = recommended_settings(amounts, ["finetune", "kd"])
    >>> found["teacher.learning_rate"], found["student.learning_rate"], found["student.num_epochs"]
    (3e-05, 0.0002, 10)
    """
    batch = _BATCH if amounts.num_train >= _FEW_ROWS else _BATCH // 2
    is_narrow = amounts.student_width <= _NARROW
    settings: dict[str, Any] = {
        "student.learning_rate": _STUDENT_RATES[not is_narrow],
        "student.batch_size": batch,
        "student.num_epochs": _num_epochs(amounts.num_train, batch, amounts.student_width),
        # Softer targets than 4 lose which wrong class is near; with texts of no label, all learn from the teacher.
        "distill.temperature": 4.0,
        "distill.alpha": 1.0 if amounts.num_transfer else 0.7,
        # element_mean divides by the number of classes, which leaves almost nothing of it where there are many.
        "distill.distillation_reduction": "batch_mean",
        "distill.beta": 10.0,
        "distill.normalize": True,
        # The chosen student is timed in the end, on real texts and in every format.
        "speed.max_seconds": 5.0,
    }
    if amounts.teacher_width is not None:
        settings |= {
            "teacher.learning_rate": _TEACHER_RATES[amounts.teacher_width > _NARROW],
            "teacher.batch_size": batch,
            "teacher.num_epochs": _num_epochs(amounts.num_train, batch, amounts.teacher_width),
        }
    if amounts.has_scores:
        # A teacher of made scores from 0 to 100 reached a correlation of 0.62 on them as they are, and 0.998 so.
        settings["student.standardize_scores"] = True
        if amounts.teacher_width is not None:
            settings["teacher.standardize_scores"] = True
    if amounts.has_common_layers:
        # On BANKING77 and CLINC150, fine-tuned students too are better from there; docs/decisions/0055 has exceptions.
        settings["student.init"] = "teacher-skip"
    if amounts.num_transfer:
        rows = amounts.num_train + amounts.num_transfer
        settings["distill.num_epochs"] = _num_epochs(rows, batch, amounts.student_width)
    if amounts.max_length < TokensConfig().max_length:
        settings["tokens.max_length"] = amounts.max_length
    used = set(methods)
    return {key: value for key, value in settings.items() if used & set(methods_reading(key))}


def _num_epochs(num_rows: int, batch: int, width: int) -> int:
    fewest, most = _EPOCHS
    steps = _STEPS[width > _NARROW]
    return min(max(math.ceil(steps * batch / max(num_rows, 1)), fewest), most)
