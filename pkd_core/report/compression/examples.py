"""Where a student answers otherwise than its teacher. Shape suffixes: R examples, C labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pkd_core.evaluation.agreement import are_equal, probabilities
from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.label_scores import score_labels
from pkd_core.report.compression.content import Answer, ClassScore, Disagreement

Array = np.ndarray[Any, Any]

_NUM_CLASSES = 12
_NUM_EXAMPLES = 20


def fallen_classes(teacher: AnswerTable, student: AnswerTable, labels: Sequence[str]) -> list[ClassScore]:
    """Return the labels whose F1 fell, most of all first; none for scores.

    Args:
        teacher: The teacher's answers.
        student: The student's to the same examples.
        labels: Label texts; empty for scores.
    """
    if not labels:
        return []
    before, after = (score_labels(one.labels_R, one.predictions_R, len(labels)) for one in (teacher, student))
    teacher_C, student_C, counts_C = before.f1_C, after.f1_C, before.num_examples_C
    order = np.lexsort((-counts_C, student_C - teacher_C))
    return [
        ClassScore(labels[c], int(counts_C[c]), float(teacher_C[c]), float(student_C[c]))
        for c in order[:_NUM_CLASSES].tolist()
        if student_C[c] < teacher_C[c]
    ]


def disagreements(
    teacher: AnswerTable,
    student: AnswerTable,
    labels: Sequence[str],
    texts: Mapping[int, Sequence[str]],
) -> list[Disagreement]:
    """Return the examples with different answers, those with the most different probabilities (or scores) first.

    Args:
        teacher: The teacher's answers.
        student: The student's to the same examples.
        labels: Label texts; empty for scores.
        texts: Each example's texts by its id.
    """
    teacher_RC, student_RC = (_confidences(one, labels) for one in (teacher, student))
    distances_R = np.abs(teacher_RC - student_RC).sum(axis=1)
    differing = np.flatnonzero(~are_equal(teacher.predictions_R, student.predictions_R))
    order = differing[np.argsort(-distances_R[differing], kind="stable")]
    return [
        Disagreement(
            tuple(texts[int(teacher.example_ids_R[row])]),
            _answer(teacher.labels_R[row], None, labels).text,
            _answer(teacher.predictions_R[row], teacher_RC[row], labels),
            _answer(student.predictions_R[row], student_RC[row], labels),
        )
        for row in order[:_NUM_EXAMPLES].tolist()
    ]


def _confidences(table: AnswerTable, labels: Sequence[str]) -> Array:
    """Return what the answers were chosen by: probabilities, or the scores themselves."""
    logits_RC = table.logits_RC.astype(np.float64)
    if not labels:
        return logits_RC
    if table.labels_R.ndim == 2:
        return np.asarray(1 / (1 + np.exp(-logits_RC)))
    return probabilities(logits_RC)


def _answer(given: Any, confidences_C: Array | None, labels: Sequence[str]) -> Answer:
    if not labels:
        return Answer(f"{float(given):.3f}", None)
    if np.ndim(given):
        return Answer(_several(np.flatnonzero(given), confidences_C, labels), None)
    return Answer(labels[int(given)], None if confidences_C is None else float(confidences_C[int(given)]))


def _several(positions: Array, confidences_C: Array | None, labels: Sequence[str]) -> str:
    """Return several labels, each with its probability if that is known."""
    names = [
        labels[position] + ("" if confidences_C is None else f" {confidences_C[position]:.2f}")
        for position in positions.tolist()
    ]
    return ", ".join(names) or "none"
