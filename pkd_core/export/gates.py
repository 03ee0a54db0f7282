"""How far an exported model's outputs may be from those that they stand for. Shape suffixes: R texts, C outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pkd_core.errors import ModelError
from pkd_core.evaluation.text_answers import Kind

Array = np.ndarray[Any, Any]

# Largest difference of a logit from torch's, or of scores above 1, of the largest of them; sums in another order differ
# by 1e-5 or less.
TOLERANCE = 1e-4


def check_parity(expected_RC: Array, found_RC: Array, how: str) -> float:
    """Return the largest difference of an exported model's logits from torch's.

    Args:
        expected_RC: Torch's.
        found_RC: The exported model's.
        how: How the texts were given to it, for messages.

    Raises:
        ModelError: It is more than rounding explains.
    """
    difference = float(np.abs(expected_RC - found_RC).max())
    limit = TOLERANCE * max(1.0, float(np.abs(expected_RC).max()))
    # Not a number is no small difference.
    if not difference <= limit:
        raise ModelError(
            f"the exported model needs torch's logits within {limit:.2g}, and differs by {difference:.2g} on dev "
            f"texts {how}; deploy the transformers folder instead, and report the model's family."
        )
    return difference


def share_changed(kind: Kind, before_RC: Array, after_RC: Array) -> float:
    """Return the part of answers that differ: of texts with another label, or with other labels.

    For scores it is 1 minus the correlation of both.

    >>> share_changed("classes", np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 2.0], [0.0, 1.0]]))
    0.5
    """
    match kind:
        case "classes":
            return float(np.mean(before_RC.argmax(axis=1) != after_RC.argmax(axis=1)))
        case "multi-label":
            return float(np.mean(((before_RC >= 0) != (after_RC >= 0)).any(axis=1)))
        case "regression":
            return _uncorrelated(before_RC[:, 0], after_RC[:, 0])


def _uncorrelated(before_R: Array, after_R: Array) -> float:
    if (before_R == after_R).all():
        return 0.0
    if np.ptp(before_R) == 0 or np.ptp(after_R) == 0:
        return 1.0
    return float(1 - np.corrcoef(before_R.astype(np.float64), after_R.astype(np.float64))[0, 1])


def why_refused(kind: Kind, changed: float, max_changed: float) -> str:
    """Return why int8 is not published, as a sentence; empty if it is."""
    if changed <= max_changed:
        return ""
    if kind == "regression":
        return (
            f"int8 is not published: its scores on dev correlate with those of float32 at {1 - changed:.4f}, and "
            f"at least {1 - max_changed:.4f} is asked for (export.max_changed)."
        )
    return (
        f"int8 is not published: it changes {changed:.1%} of the answers on dev, and at most {max_changed:.1%} is "
        "allowed (export.max_changed)."
    )


def spread_rows(texts: Sequence[tuple[str, ...]], num_rows: int) -> list[int]:
    """Return the positions of at most so many texts, evenly spread from the shortest to the longest."""
    order = sorted(range(len(texts)), key=lambda row: sum(map(len, texts[row])))
    chosen = np.linspace(0, len(order) - 1, min(num_rows, len(order))).round().astype(int)
    return [order[position] for position in chosen]
