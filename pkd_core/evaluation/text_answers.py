"""What a classifier answers to texts: its outputs as labels with probabilities, or as scores.

Nothing here imports torch: an exported model answers without it. Shape suffixes: R texts, C outputs.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

Kind = Literal["classes", "multi-label", "regression"]


class TextModel(Protocol):
    """A trained classifier, whatever computes it."""

    @property
    def kind(self) -> Kind:
        """One label for a text, any number of labels, or a score."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each output; of a score only one, which says nothing."""

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        """Return the outputs for one or two texts of each example, (R, C), float32."""


@dataclass(frozen=True)
class Answer:
    """What a model answers to one example.

    Attributes:
        labels: Labels with their probabilities, in the model's order: the most probable one; of a model of several
            labels, those of probability 0.5 and more. Empty for a score.
        probabilities: Probability of every label; empty for a score.
        score: None for labels.
    """

    labels: Mapping[str, float]
    probabilities: Mapping[str, float]
    score: float | None


def answer(model: TextModel, texts: Sequence[tuple[str, ...]]) -> list[Answer]:
    """Return a model's answer to each example."""
    return answers_of(model.logits(texts), model.kind, model.labels)


def answers_of(logits_RC: Array, kind: Kind, labels: Sequence[str]) -> list[Answer]:
    """Return what outputs mean.

    >>> answers_of(np.array([[-1.0, 0.0]]), "multi-label", ["rude", "long"])[0].labels
    {'long': 0.5}
    """
    outputs_RC = logits_RC.astype(np.float64)
    match kind:
        case "regression":
            return [Answer({}, {}, score) for score in outputs_RC[:, 0].tolist()]
        case "multi-label":
            probabilities_RC = 0.5 * (
                1 + np.tanh(0.5 * outputs_RC)
            )  # the sigmoid, of any size of its argument
            chosen_RC = probabilities_RC >= 0.5
        case "classes":
            shares_RC = np.exp(outputs_RC - outputs_RC.max(axis=1, keepdims=True))
            probabilities_RC = shares_RC / shares_RC.sum(axis=1, keepdims=True)
            chosen_RC = np.arange(len(labels)) == probabilities_RC.argmax(axis=1)[:, None]
    answers = []
    for values, chosen in zip(probabilities_RC.tolist(), chosen_RC.tolist(), strict=True):
        probabilities = dict(zip(labels, values, strict=True))
        given = {label: probabilities[label] for label in itertools.compress(labels, chosen)}
        answers.append(Answer(given, probabilities, None))
    return answers
