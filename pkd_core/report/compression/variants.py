"""Scores the formats of teacher and students on the same examples. Shape suffixes: R examples, C outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from pkd_core.evaluation.agreement import are_equal
from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.metrics import compute_metrics
from pkd_core.evaluation.paired_bootstrap import Answers, Difference, compare_methods, score_interval
from pkd_core.evaluation.result import EvaluationResult
from pkd_core.latency.result import Format, LatencyRow
from pkd_core.report.compression.content import Gap, Role, Variant
from pkd_core.report.intervals import wilson_interval
from pkd_core.report.results import COUNTED_METRICS

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class EvaluatedModel:
    """One trained model, evaluated, and exported or not.

    Attributes:
        name: Name of its stage, such as "kd-3l-s42".
        result: Its evaluation.
        answers: Its answers to the final split, in float32.
        sizes: Size of its file in bytes by format, at least "torch-float32"; None for a format that was refused.
        int8_answers: Answers of its int8 format to the final split; None where there is none.
        refused: Why its int8 format is not published, as a sentence; empty if it is, or if it was not made.
    """

    name: str
    result: EvaluationResult
    answers: AnswerTable
    sizes: Mapping[Format, int | None]
    int8_answers: AnswerTable | None = None
    refused: str = ""


def final_split(result: EvaluationResult) -> Literal["test", "dev"]:
    """Return the split that the final scores are of: a labelled test split, else dev."""
    metric = result.selection.partition("/")[2]
    return "test" if f"test/{metric}" in result.scores else "dev"


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
        others: The other students; the first fine-tuned one of the chosen student's depth is what plain training gives.
        timings: Of those that were timed, in any order.
    """
    finetuned = next((one for one in [student, *others] if _is_finetuned(one, student)), None)
    roles: list[tuple[Role, EvaluatedModel]] = [("teacher", teacher), ("student", student)]
    rest = [one for one in others if one is not finetuned]
    roles += [("fine-tuned", finetuned)] if finetuned and finetuned is not student else []
    roles += [("other", one) for one in rest]
    answers = {}
    for _, model in roles:
        answers[model.name, False] = model.answers
        if model.int8_answers is not None:
            answers[model.name, True] = model.int8_answers
    metric = teacher.result.selection.partition("/")[2]
    gaps = _Gaps(answers, metric)
    shapes = {model.name: _shape(model) for _, model in roles}
    variants = []
    for role, model in roles:
        for format_ in model.sizes:
            is_int8 = format_ == "onnx-int8"
            table = answers.get((model.name, is_int8))
            is_teacher = role == "teacher"
            variant = Variant(
                model=model.name,
                method=model.result.method,
                num_layers=model.result.num_layers,
                role=role,
                format=format_,
                score=None if table is None else _score(table, metric),
                interval=None if table is None else _interval(table, metric),
                vs_teacher=gaps.between((model.name, is_int8), (teacher.name, False)),
                vs_finetuning=gaps.between((model.name, is_int8), (finetuned.name, False))
                if finetuned and not is_teacher
                else None,
                agreement=None if table is None else _agreement(table, teacher.answers),
                size_bytes=model.sizes[format_],
                timing=None if is_int8 and model.refused else _timing(model, format_, shapes, timings),
                refused=model.refused if is_int8 else "",
            )
            variants.append(variant)
    return variants


class _Gaps:
    """The differences between answers by model and whether they are those in int8, all over the same resamples."""

    def __init__(self, answers: Mapping[tuple[str, bool], AnswerTable], metric: str) -> None:
        names = {key: f"{number}" for number, key in enumerate(answers)}
        found = compare_methods({names[key]: _answers(table) for key, table in answers.items()}, metric)
        pairs = {(one.first, one.second): one for one in found}
        self._names = names
        self._pairs = pairs | {(second, first): _reversed(one) for (first, second), one in pairs.items()}
        first = next(iter(answers.values()))
        self._num_examples = len(first.labels_R) if metric in COUNTED_METRICS else None

    def between(self, first: tuple[str, bool], second: tuple[str, bool]) -> Gap | None:
        """Return the first one's score minus the second's; None if they are the same or one was not measured."""
        one = self._pairs.get((self._names.get(first, ""), self._names.get(second, "")))
        if one is None:
            return None
        number = None if self._num_examples is None else round(one.difference * self._num_examples)
        # Each question is asked for itself: no correction for how many variants there are.
        is_clear = replace(one, corrected=one.p_value).is_distinguishable
        return Gap(one.difference, one.low, one.high, number, is_clear)


def _reversed(one: Difference) -> Difference:
    return replace(one, difference=-one.difference, low=-one.high, high=-one.low)


def _is_finetuned(model: EvaluatedModel, student: EvaluatedModel) -> bool:
    return model.result.method == "finetune" and _shape(model) == _shape(student)


def _shape(model: EvaluatedModel) -> tuple[int, int, int]:
    return model.result.num_layers, model.result.hidden_size, model.result.parameters


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
    return score_interval(_answers(table), metric)


def _agreement(table: AnswerTable, teacher: AnswerTable) -> float | None:
    """Return the share of equal answers: of equal sets of labels where there may be several; None for scores."""
    if table is teacher or _has_scores(table):
        return None
    return float(are_equal(table.predictions_R, teacher.predictions_R).mean())


def _answers(table: AnswerTable) -> Answers:
    return Answers(table.labels_R, table.predictions_R[None], table.logits_RC.shape[1])


def _has_scores(table: AnswerTable) -> bool:
    """Return whether answers are scores: one float each, where several labels have one for each label."""
    return table.labels_R.ndim == 1 and bool(np.issubdtype(table.labels_R.dtype, np.floating))
