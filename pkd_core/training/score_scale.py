"""Training on standardised scores: whatever a user's scores are, a model learns to answer with mean 0 and deviation 1.

A classifier begins near 0 and moves a little in each step: scores around 50 or of thousands are out of its reach.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable

Scores = TypeVar("Scores", np.ndarray, Tensor)


@dataclass(frozen=True)
class ScoreScale:
    """Mean and standard deviation of the training scores."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, table: TokenTable) -> "ScoreScale":
        """Return the scale of a labelled split's scores, of which two at least differ."""
        assert table.labels_R is not None, "the training split has labels"
        scores_R = table.labels_R.astype(np.float64)
        return cls(float(scores_R.mean()), float(scores_R.std()))

    def standardized(self, scores: Scores) -> Scores:
        """Return scores with mean 0 and deviation 1; a missing one, nan, remains so."""
        return (scores - self.mean) / self.deviation

    def standardized_table(self, table: TokenTable) -> TokenTable:
        """Return a split with standardised scores."""
        assert table.labels_R is not None, "the training split has labels"
        return replace(
            table, labels_R=self.standardized(table.labels_R.astype(np.float64)).astype(np.float32)
        )

    @contextmanager
    def undone(self, model: BertForSequenceClassification) -> Iterator[None]:
        """Let a model that has learnt standardised scores answer with the user's meanwhile."""
        weights = (model.classifier.weight, model.classifier.bias)
        learnt = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight in weights:
                weight.mul_(self.deviation)
            model.classifier.bias.add_(self.mean)
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, value in zip(weights, learnt, strict=True):
                    weight.copy_(value)
