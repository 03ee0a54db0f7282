"""Two evaluated models compared on the examples of a split that both answered. Shape suffixes: R examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pkd_core.data.examples import read_split
from pkd_core.data.glue import load_task
from pkd_core.data.task import LABEL_SEPARATOR, Task
from pkd_core.errors import DataError
from pkd_core.evaluation.agreement import Agreement, Array, are_equal, count_agreement, probabilities
from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.paired_bootstrap import Answers, Difference, compare_methods
from pkd_core.pipeline.evaluated import Evaluated
from pkd_core.pipeline.sources import hash_split
from pkd_core.store.os_errors import file_errors


@dataclass(frozen=True)
class Comparison:
    """The first model against the second.

    Attributes:
        difference: Of their scores, with an interval over the examples; the models are called "A" and "B".
        agreement: Who is right where; None for a task of scores.
    """

    difference: Difference
    agreement: Agreement | None


@dataclass(frozen=True)
class Answer:
    """One model's answer to an example: a label with its probability, or a score or several labels without one."""

    text: str
    probability: float | None


@dataclass(frozen=True)
class Disagreement:
    """An example to which two models give different answers.

    Attributes:
        example_id: Its id in the split's file.
        texts: Its texts.
        label: The gold label or labels, or the score.
        first: The first model's answer.
        second: The second one's.
    """

    example_id: int
    texts: Sequence[str]
    label: str
    first: Answer
    second: Answer


def compare(first: Evaluated, second: Evaluated) -> Comparison:
    """Compare two models.

    Raises:
        DataError: They are the same evaluation, or were not evaluated on the same examples by the same metric.
    """
    _check_same_data(first, second)
    both = {"A": _answers(first.answers), "B": _answers(second.answers)}
    (difference,) = compare_methods(both, first.metric)
    agreement = None
    if not _are_scores(first.answers):
        agreement = count_agreement(
            first.answers.labels_R, first.answers.predictions_R, second.answers.predictions_R
        )
    return Comparison(difference, agreement)


def find_disagreements(first: Evaluated, second: Evaluated, data_raw: Path) -> list[Disagreement]:
    """Return the examples with different answers: in the file's order, or those of scores by decreasing difference.

    Raises:
        DataError: The split's file is gone, or is another than the models were evaluated on.
    """
    task = load_task(first.result.task, data_raw)
    texts = _texts(first, task, data_raw)
    answers = (first.answers, second.answers)
    first_R, second_R = (one.predictions_R for one in answers)
    positions_R = np.flatnonzero(~are_equal(first_R, second_R))
    if task.is_regression:
        distances_R = np.abs(first_R - second_R)[positions_R]
        positions_R = positions_R[np.argsort(-distances_R, kind="stable")]
    has_classes = not task.is_regression and not task.multi_label
    probabilities_of = [probabilities(one.logits_RC) if has_classes else None for one in answers]
    found = []
    for position in positions_R.tolist():
        example_id = int(first.answers.example_ids_R[position])
        given = [
            _answer(task, one.predictions_R[position], None if every is None else every[position])
            for one, every in zip(answers, probabilities_of, strict=True)
        ]
        label = _answer(task, first.answers.labels_R[position], None).text
        found.append(Disagreement(example_id, texts[example_id], label, *given))
    return found


def _check_same_data(first: Evaluated, second: Evaluated) -> None:
    if first.folder.resolve() == second.folder.resolve():
        raise DataError(f"both names mean {first.folder}; give two models.")
    names = f"{first.folder} and {second.folder}"
    if (first.result.task, first.result.selection) != (second.result.task, second.result.selection):
        raise DataError(
            f"{names} need to be of one task and score, got {first.result.task} ({first.result.selection}) and "
            f"{second.result.task} ({second.result.selection}); give models of one task."
        )
    same_file = first.raw_hash is None or second.raw_hash is None or first.raw_hash == second.raw_hash
    pairs = [
        (getattr(first.answers, name), getattr(second.answers, name))
        for name in ("example_ids_R", "labels_R")
    ]
    if not same_file or not all(np.array_equal(one, other) for one, other in pairs):
        raise DataError(
            f"{names} were evaluated on different {first.split} data; run both with the data that is there now."
        )


def _texts(evaluated: Evaluated, task: Task, data_raw: Path) -> dict[int, Sequence[str]]:
    split = task.split(evaluated.split)
    path = data_raw / split.file
    with file_errors("read", path):
        found = hash_split(path, task)
    if found is None or found != (evaluated.raw_hash or found):
        raise DataError(
            f"{path} needs to be the file that the models were evaluated on, and it has changed or is gone; put it "
            "back, or run again."
        )
    return {one.example_id: one.texts for one in read_split(path, task, split)}


def _answers(table: AnswerTable) -> Answers:
    return Answers(table.labels_R, table.predictions_R[None, :], table.logits_RC.shape[1])


def _are_scores(table: AnswerTable) -> bool:
    return table.labels_R.ndim == 1 and not np.issubdtype(table.labels_R.dtype, np.integer)


def _answer(task: Task, value: Array, probabilities_C: Array | None) -> Answer:
    if task.multi_label:
        names = [task.labels[position] for position in np.flatnonzero(value)]
        return Answer(LABEL_SEPARATOR.join(names) or "no label", None)
    if task.is_regression:
        return Answer(f"{value:.3f}", None)
    probability = None if probabilities_C is None else float(probabilities_C[int(value)])
    return Answer(task.labels[int(value)], probability)
