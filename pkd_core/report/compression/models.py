"""The evaluated models of a compression. Shape suffixes: R examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pkd_core.evaluation.answers import AnswerTable
from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.evaluation.result import EvaluationResult
from pkd_core.latency.result import Format


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """What its times depend on: layers, width and number of parameters."""
        return self.result.num_layers, self.result.hidden_size, self.result.parameters


def final_split(result: EvaluationResult) -> Literal["test", "dev"]:
    """Return the split that the final scores are of: a labelled test split, else dev."""
    metric = result.selection.partition("/")[2]
    return "test" if f"test/{metric}" in result.scores else "dev"


def final_metric(model: EvaluatedModel) -> str:
    """Return the name of the score that all models of a compression are compared by."""
    return model.result.selection.partition("/")[2]


def seeds_of(method: str, like: EvaluatedModel, among: Sequence[EvaluatedModel]) -> list[EvaluatedModel]:
    """Return the models of one method that have a model's shape, by seed."""
    found = [one for one in among if one.result.method == method and one.shape == like.shape]
    return sorted(found, key=lambda one: one.result.seed or 0)


def answers_of(*tables: AnswerTable) -> Answers:
    """Return what one or several models, the seeds of a method, answered to the same examples."""
    first = tables[0]
    predictions_SR = np.stack([table.predictions_R for table in tables])
    return Answers(first.labels_R, predictions_SR, first.logits_RC.shape[1])
