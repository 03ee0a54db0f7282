"""How well each label was found, by method. Shape suffixes: S seeds, C labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pkd_core.evaluation.label_scores import score_labels
from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.report.cells import points
from pkd_core.report.results import depth_name
from pkd_core.report.tables import Table

# Of more labels, those are shown that fell most.
MAX_LABELS = 12
_TEACHER = "teacher"


@dataclass(frozen=True)
class LabelScore:
    """One label's scores on the dev split, means over seeds.

    Attributes:
        label: The label.
        num_examples: Dev examples that have it.
        precision: Of the examples that got it, the part that has it.
        recall: Of the examples that have it, the part that got it.
        f1: Of both.
    """

    label: str
    num_examples: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class MethodLabels:
    """The scores of every label of a task, by one method and depth.

    Attributes:
        task: Task name.
        method: The method, or "teacher".
        num_layers: Depth.
        labels: In the order of the task's labels.
    """

    task: str
    method: str
    num_layers: int
    labels: Sequence[LabelScore]

    @property
    def name(self) -> str:
        """Method and depth, such as "kd, 3 layers"."""
        return f"{self.method}, {depth_name(self.num_layers)}"


def mean_label_scores(
    task: str, method: str, num_layers: int, labels: Sequence[str], answers: Answers
) -> MethodLabels:
    """Return the mean over seeds of each label's scores.

    Args:
        task: Task name.
        method: The method, or "teacher".
        num_layers: Depth.
        labels: Label texts in the order of the classes.
        answers: Of each seed.
    """
    seeds = [score_labels(answers.labels_R, one, len(labels)) for one in answers.predictions_SR]
    means = [
        np.mean([getattr(one, name) for one in seeds], axis=0).tolist()
        for name in ("precision_C", "recall_C", "f1_C")
    ]
    counts = seeds[0].num_examples_C.tolist()
    found = [LabelScore(*values) for values in zip(labels, counts, *means, strict=True)]
    return MethodLabels(task, method, num_layers, found)


def about_labels(models: Sequence[MethodLabels]) -> str:
    """Return a sentence or two of which labels are shown."""
    num_labels = len(models[0].labels)
    text = "F1 × 100 of each label on dev, mean over seeds."
    if num_labels <= MAX_LABELS:
        return f"{text} With few examples, a point or ten may be chance."
    return (
        f"{text} Of {num_labels} labels, the {MAX_LABELS} where a method fell most below the teacher; with few "
        "examples, that may be chance."
    )


def f1_table(models: Sequence[MethodLabels]) -> Table:
    """Return a row for each shown label, with the F1 of every method of a task."""
    rows = [
        [
            models[0].labels[position].label,
            str(models[0].labels[position].num_examples),
            *(points(one.labels[position].f1) for one in models),
        ]
        for position in _shown(models)
    ]
    return Table(["label", "examples", *(one.name for one in models)], rows)


def precision_and_recall_table(models: Sequence[MethodLabels]) -> Table:
    """Return a row for each shown label and method of a task, with all scores."""
    return Table(["label", "model", "precision", "recall", "F1"], list(_rows(models)))


def _rows(models: Sequence[MethodLabels]) -> Iterator[list[str]]:
    for position in _shown(models):
        for one in models:
            score = one.labels[position]
            yield [score.label, one.name, points(score.precision), points(score.recall), points(score.f1)]


def _shown(models: Sequence[MethodLabels]) -> list[int]:
    """Return the positions of the labels to be shown: all, or those that fell most, most of all first."""
    if len(models[0].labels) <= MAX_LABELS:
        return list(range(len(models[0].labels)))
    f1_MC = np.array([[score.f1 for score in one.labels] for one in models])
    teachers = [number for number, one in enumerate(models) if one.method == _TEACHER]
    before_C = f1_MC[teachers[0]] if teachers else 1.0
    change_C = (f1_MC - before_C).min(axis=0)
    counts_C = np.array([score.num_examples for score in models[0].labels])
    order: list[int] = np.lexsort((-counts_C, change_C))[:MAX_LABELS].tolist()
    return order
