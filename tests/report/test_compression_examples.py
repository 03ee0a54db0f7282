"""The labels whose F1 fell, and the examples with the most different answers."""

import numpy as np
from sklearn.metrics import f1_score

from pkd_core.evaluation.answers import AnswerTable
from pkd_core.report.compression.content import Answer
from pkd_core.report.compression.examples import Array, disagreements, fallen_classes

LABELS = ("no", "maybe", "yes")


def table(labels: list[int], predictions: list[int], margins: list[float]) -> AnswerTable:
    """Return answers whose logit exceeds the others, which are 0, by these margins."""
    logits_RC = np.array(margins)[:, None] * np.eye(3)[predictions]
    return AnswerTable(10 * np.arange(len(labels)), np.array(labels), np.array(predictions), logits_RC)


def several(labels: Array, logits: Array) -> AnswerTable:
    predictions = (logits > 0).astype(np.float32)
    return AnswerTable(np.arange(len(labels)), labels.astype(np.float32), predictions, logits)


def test_labels_are_ordered_by_how_far_their_f1_fell() -> None:
    gold = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    teacher = table(gold, gold, [1.0] * 10)
    student = table(gold, [0, 0, 0, 1, 1, 1, 0, 2, 2, 2], [1.0] * 10)
    found = fallen_classes(teacher, student, LABELS)
    assert [(one.label, one.num_examples, one.teacher) for one in found] == [
        ("maybe", 3, 1.0),
        ("no", 4, 1.0),
    ]
    assert [one.student for one in found] == [2 * 2 / (2 * 2 + 1 + 1), 2 * 3 / (2 * 3 + 1 + 1)]


def test_the_f1_of_each_of_several_labels_is_its_own() -> None:
    gold = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]])
    student_logits = np.array([[1.0, -1, 0 - 1], [1, -1, -1], [-1, 1, 1], [1, -1, 1]])
    found = fallen_classes(several(gold, 2.0 * gold - 1), several(gold, student_logits), LABELS)
    assert [(one.label, one.num_examples) for one in found] == [("maybe", 2), ("no", 2)]
    assert found[0].student == f1_score(gold[:, 1], student_logits[:, 1] > 0)


def test_scores_have_no_labels_that_fall() -> None:
    scores = AnswerTable(np.arange(2), np.array([0.1, 0.2]), np.array([0.1, 0.2]), np.array([[0.1], [0.2]]))
    assert fallen_classes(scores, scores, ()) == []


def test_the_most_confident_disagreement_comes_first_with_both_probabilities() -> None:
    gold = [0, 1, 2, 0]
    teacher = table(gold, [0, 1, 2, 1], [1.0, 5.0, 1.0, 9.0])
    student = table(gold, [1, 0, 2, 1], [1.0, 5.0, 9.0, 9.0])
    texts = {0: ("first",), 10: ("second",), 20: ("third",), 30: ("fourth",)}
    found = disagreements(teacher, student, LABELS, texts)
    assert [(one.texts, one.label) for one in found] == [(("second",), "maybe"), (("first",), "no")]
    sure = np.exp(5) / (np.exp(5) + 2)
    assert (found[0].teacher.text, found[0].student.text) == ("maybe", "no")
    assert np.allclose([found[0].teacher.probability or 0, found[0].student.probability or 0], sure)


def test_at_most_twenty_disagreements_are_shown() -> None:
    gold = [0] * 30
    found = disagreements(
        table(gold, [0] * 30, [1.0] * 30),
        table(gold, [1] * 30, [1.0] * 30),
        LABELS,
        {10 * n: ("t",) for n in range(30)},
    )
    assert len(found) == 20


def test_several_labels_and_scores_are_written_out() -> None:
    gold = np.array([[1, 1, 0]])
    teacher, student = (
        several(gold, np.array([[9.0, 9.0, -9.0]])),
        several(gold, np.array([[-9.0, -9.0, -9.0]])),
    )
    (one,) = disagreements(teacher, student, LABELS, {0: ("a",)})
    assert (one.label, one.teacher, one.student) == (
        "no, maybe",
        Answer("no 1.00, maybe 1.00", None),
        Answer("none", None),
    )
    first = AnswerTable(np.arange(2), np.array([1.0, 2.0]), np.array([1.5, 2.0]), np.array([[1.5], [2.0]]))
    second = AnswerTable(np.arange(2), np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([[1.0], [4.0]]))
    found = disagreements(first, second, (), {0: ("a",), 1: ("b",)})
    assert [(one.label, one.teacher.text, one.student.text) for one in found] == [
        ("2.000", "2.000", "4.000"),
        ("1.000", "1.500", "1.000"),
    ]
