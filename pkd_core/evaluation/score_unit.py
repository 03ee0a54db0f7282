"""Whether a model's scores are in another unit than the labels. Shape suffixes: R examples."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Of fewer examples, nothing is concluded.
_FEWEST = 20
_CLEARLY = 0.5


def is_other_unit(labels_R: Array, answers_R: Array) -> bool:
    """Return whether answers follow the labels, but are farther from them than the labels' mean is.

    Answers of another unit are nearly a straight line of the labels: it explains half of their variance and more.
    Answers in the same unit that err by chance, so far that the mean would be better, explain less.

    >>> labels = np.arange(20.0)
    >>> is_other_unit(labels, labels / 20), is_other_unit(labels, labels + 1)
    (True, False)

    Args:
        labels_R: Scores.
        answers_R: A model's.
    """
    variance = float(np.var(labels_R))
    if len(labels_R) < _FEWEST or variance == 0 or np.ptp(answers_R) == 0:
        return False
    error = float(np.mean((answers_R - labels_R) ** 2))
    explained = float(np.corrcoef(labels_R, answers_R)[0, 1]) ** 2
    return error > variance and explained > _CLEARLY
