"""Scores the formats of teacher and students on the same examples. Shape suffixes: R examples, C outputs."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from pkd_core.evaluation.agreement import are_equal
from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.metrics import compute_metrics
from pkd_core.evaluation.paired_bootstrap import Answers, score_interval
from pkd_core.latency.result import Format, LatencyRow
from pkd_core.report.compression.content import Role, Variant
from pkd_core.report.compression.gaps import Gaps
from pkd_core.report.compression.models import EvaluatedModel, answers_of, final_metric, seeds_of
from pkd_core.report.intervals import wilson_interval
from pkd_core.report.results import COUNTED_METRICS

Array = np.ndarray[Any, Any]

_FINETUNING = "all that were fine-tuned"


def compare_variants(
    teacher: EvaluatedModel,
    student: EvaluatedModel,
    others: Sequence[EvaluatedModel],
    timings: Sequence[LatencyRow],
) -> list[Variant]:
    """Return every format of every model, compared with the teacher and with plain fine-tuning.

    A model that was not timed has the time of one of the same shape: trained weights take no other time.

    Args:
        teacher: What was compressed.
        student: The one that was chosen.
        others: The other students; those of the chosen student's shape that were fine-tuned are, on average, what plain
            training gives.
        timings: Of those that were timed, in any order.
    """
    finetuned = seeds_of("finetune", student, [student, *others])
    roles = _roles(teacher, student, others, finetuned)
    answers: dict[tuple[str, bool], AnswerTable] = {}
    for _, model in roles:
        answers[model.name, False] = model.answers
        if model.int8_answers is not None:
            answers[model.name, True] = model.int8_answers
    metric = final_metric(teacher)
    compared: dict[Hashable, Answers] = {key: answers_of(table) for key, table in answers.items()}
    if finetuned:
        compared[_FINETUNING] = answers_of(*(one.answers for one in finetuned))
    gaps = Gaps(compared, metric)
    shapes = {model.name: model.shape for _, model in roles}
    variants = []
    for role, model in roles:
        has_other_method = role != "teacher" and model.name not in {one.name for one in finetuned}
        for format_ in model.sizes:
            is_int8 = format_ == "onnx-int8"
            key = (model.name, is_int8)
            table = answers.get(key)
            variant = Variant(
                model=model.name,
                method=model.result.method,
                num_layers=model.result.num_layers,
                role=role,
                format=format_,
                score=None if table is None else _score(table, metric),
                interval=None if table is None else _interval(table, metric),
                vs_teacher=gaps.between(key, (teacher.name, False)),
                vs_finetuning=gaps.between(key, _FINETUNING) if has_other_method else None,
                agreement=None if table is None else _agreement(table, teacher.answers),
                size_bytes=model.sizes[format_],
                timing=None if is_int8 and model.refused else _timing(model, format_, shapes, timings),
                refused=model.refused if is_int8 else "",
            )
            variants.append(variant)
    return variants


def _roles(
    teacher: EvaluatedModel,
    student: EvaluatedModel,
    others: Sequence[EvaluatedModel],
    finetuned: Sequence[EvaluatedModel],
) -> list[tuple[Role, EvaluatedModel]]:
    """Return every model with its role, in the order in which they are shown."""
    named = [one.name for one in finetuned]
    roles: list[tuple[Role, EvaluatedModel]] = [("teacher", teacher), ("student", student)]
    roles += [("fine-tuned", one) for one in finetuned if one.name != student.name]
    return roles + [("other", one) for one in others if one.name not in named]


def _timing(
    model: EvaluatedModel,
    format_: Format,
    shapes: Mapping[str, tuple[int, int, int]],
    timings: Sequence[LatencyRow],
) -> LatencyRow | None:
    """Return a model's own times, else those of a model of its shape."""
    fitting = [
        row for row in timings if row.format == format_ and shapes.get(row.model) == shapes[model.name]
    ]
    return next((row for row in fitting if row.model == model.name), fitting[0] if fitting else None)


def _score(table: AnswerTable, metric: str) -> float:
    is_regression = _has_scores(table)
    return compute_metrics([metric], table.labels_R, table.logits_RC, is_regression)[metric]


def _interval(table: AnswerTable, metric: str) -> tuple[float, float]:
    if metric in COUNTED_METRICS:
        return wilson_interval(_score(table, metric), len(table.labels_R))
    return score_interval(answers_of(table), metric)


def _agreement(table: AnswerTable, teacher: AnswerTable) -> float | None:
    """Return the share of equal answers: of equal sets of labels where there may be several; None for scores."""
    if table is teacher or _has_scores(table):
        return None
    return float(are_equal(table.predictions_R, teacher.predictions_R).mean())


def _has_scores(table: AnswerTable) -> bool:
    """Return whether answers are scores: one float each, where several labels have one for each label."""
    return table.labels_R.ndim == 1 and bool(np.issubdtype(table.labels_R.dtype, np.floating))
