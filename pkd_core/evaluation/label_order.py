"""Which output of a classifier stands for which label: by its names, and by its answers.

Shape suffixes: R examples, C labels.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_NUMBERED = re.compile(r"LABEL_(\d+)|(\d+)")
# By how many standard errors another order has to be better.
_CLEARLY = 3.0


def order_by_name(labels: Sequence[str], outputs: Sequence[str]) -> tuple[int, ...] | None:
    """Return the output of each label by its name: the same one, or but for capitals and spaces around it.

    >>> order_by_name(["down", "up"], ["Up ", "Down", "Level"])
    (1, 0)

    Returns:
        None if a label has no output of its name, or several.
    """
    for normalize in (str, lambda name: name.strip().casefold()):
        names = [normalize(output) for output in outputs]
        wanted = [normalize(label) for label in labels]
        if set(wanted) <= set(names) and len(set(names)) == len(names) and len(set(wanted)) == len(wanted):
            return tuple(names.index(name) for name in wanted)
    return None


def order_by_number(labels: Sequence[str], outputs: Sequence[str]) -> tuple[int, ...] | None:
    """Return the output of each label where the names of one side are mere numbers.

    Labels that are the numbers from 0 on are the outputs' positions, whatever the outputs' names are; otherwise labels
    are taken in their order.

    >>> order_by_number(["0", "10", "1"], ["LABEL_0", "LABEL_1", "LABEL_2"])
    (0, 1, 2)
    >>> order_by_number(["1", "0"], ["NEGATIVE", "POSITIVE"])
    (1, 0)

    Returns:
        None if both sides have names.
    """
    if sorted(labels) == sorted(map(str, range(len(labels)))):
        return tuple(map(int, labels))
    if all(_number(name) == position for position, name in enumerate(outputs)):
        return tuple(range(len(labels)))
    return None


def better_order(is_label_RC: Array, is_answer_RC: Array) -> tuple[int, ...] | None:
    """Return the output of each label by the answers, if that fits clearly better than the order as it is.

    Each half of the examples is scored with the order that fits the other half best, so that an order which fits by
    chance alone is not found.

    Args:
        is_label_RC: Whether an example has each label, bool.
        is_answer_RC: Whether each output, in the labels' order, is an answer to it, bool.
    """
    is_even_R = np.arange(len(is_label_RC)) % 2 == 0
    num_only_other = num_only_given = 0
    for half_R in (is_even_R, ~is_even_R):
        order = _best_order(is_label_RC[~half_R], is_answer_RC[~half_R])
        fits_other = is_answer_RC[half_R][:, order] == is_label_RC[half_R]
        fits_given = is_answer_RC[half_R] == is_label_RC[half_R]
        right_other_R, right_given_R = fits_other.all(axis=1), fits_given.all(axis=1)
        num_only_other += int((right_other_R & ~right_given_R).sum())
        num_only_given += int((right_given_R & ~right_other_R).sum())
    gain, noise = num_only_other - num_only_given, math.sqrt(num_only_other + num_only_given)
    return tuple(_best_order(is_label_RC, is_answer_RC)) if gain > _CLEARLY * noise else None


def _best_order(is_label_RC: Array, is_answer_RC: Array) -> list[int]:
    """Return the output of each label with which most labels of most examples fit; as it is, if none fits better."""
    from scipy.optimize import linear_sum_assignment  # takes half a second, and planning does without

    labels_RC, answers_RC = is_label_RC.astype(np.float64), is_answer_RC.astype(np.float64)
    fits_CC = labels_RC.T @ answers_RC + (1 - labels_RC).T @ (1 - answers_RC)
    _, order = linear_sum_assignment(fits_CC, maximize=True)
    given = np.arange(len(fits_CC))
    is_better = fits_CC[given, order].sum() > fits_CC[given, given].sum()
    chosen: list[int] = (order if is_better else given).tolist()
    return chosen


def _number(name: str) -> int | None:
    match = _NUMBERED.fullmatch(name.strip())
    return int(match[1] or match[2]) if match else None
