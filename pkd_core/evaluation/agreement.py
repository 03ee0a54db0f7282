"""Where two models answer the same examples rightly and wrongly. Shape suffixes: R examples, C classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Agreement:
    """How many examples each of two models answers rightly.

    Attributes:
        both_right: Examples that both answer rightly.
        only_first: Those that only the first does.
        only_second: Those that only the second does.
        both_wrong: Those that neither does.
    """

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int

    @property
    def p_value(self) -> float:
        """McNemar's exact p-value: whether chance alone would divide the examples that one answers rightly so."""
        num_one = self.only_first + self.only_second
        return float(stats.binomtest(self.only_first, num_one).pvalue) if num_one else 1.0


def count_agreement(labels_R: Array, first_R: Array, second_R: Array) -> Agreement:
    """Count the examples by which of two models answers them rightly.

    Args:
        labels_R: Class positions; of several labels, 0 or 1 for each, shape (R, C), of which all must be right.
        first_R: What one model answers, in the form of the labels.
        second_R: What the other one does.
    """
    first_right_R, second_right_R = are_equal(first_R, labels_R), are_equal(second_R, labels_R)
    return Agreement(
        both_right=int((first_right_R & second_right_R).sum()),
        only_first=int((first_right_R & ~second_right_R).sum()),
        only_second=int((~first_right_R & second_right_R).sum()),
        both_wrong=int((~first_right_R & ~second_right_R).sum()),
    )


def are_equal(first_R: Array, second_R: Array) -> Array:
    """Return whether each example has the same label or score in both, or all the same labels; shape (R,)."""
    equal = first_R == second_R
    return np.asarray(equal.all(axis=1) if equal.ndim == 2 else equal)


def probabilities(logits_RC: Array) -> Array:
    """Return the softmax of logits over the classes, shape (R, C)."""
    exponentials_RC = np.exp(logits_RC - logits_RC.max(axis=1, keepdims=True))
    return np.asarray(exponentials_RC / exponentials_RC.sum(axis=1, keepdims=True))
