"""Dividing rows into train, dev and test where the user's files do not.

Shape suffixes: R rows of all files, G groups of rows with the same text, which are never divided.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pkd_core.data.holdout import choose_held_out
from pkd_core.own_data.labels import Labels
from pkd_core.own_data.row_index import NO_LABEL, SPLITS, RowIndex

Splits = npt.NDArray[np.int8]
TRAIN, DEV, TEST, UNLABELLED = range(len(SPLITS))
_MAX_HELD_OUT_ROWS = 10_000
_MAX_HELD_OUT = 0.4


def cut(index: RowIndex, splits_R: Splits, labels: Labels, split: int, fraction: float, seed: int) -> Splits:
    """Move a part of the training rows to another split, every class in proportion; rows of one text stay together.

    Classes that would lose all their rows keep them. Of few rows, more than the fraction is moved, so that there may be
    two of each class; of many, at most 10000.

    Args:
        index: The rows.
        splits_R: The split of each row so far.
        labels: What the rows' labels stand for.
        split: Position of the other split.
        fraction: Part of the training rows.
        seed: Seeds the choice.

    Returns:
        The new splits.
    """
    rows = np.flatnonzero((splits_R == TRAIN) & (index.labels_R != NO_LABEL))
    _, first_G, group_of = np.unique(index.keys_R[rows], return_index=True, return_inverse=True)
    strata_by_code = _strata(index, labels, rows)
    strata_G = strata_by_code[index.labels_R[rows[first_G]]]
    num_classes = max(len(labels.names), 2)
    part = max(fraction, min(2 * num_classes / len(first_G), _MAX_HELD_OUT))
    part = min(part, _MAX_HELD_OUT_ROWS / len(first_G))
    is_moved_G = np.zeros(len(first_G), dtype=bool)
    is_moved_G[choose_held_out(strata_G, part, seed)] = True
    moved = splits_R.copy()
    moved[rows[is_moved_G[group_of]]] = split
    return _with_every_class(index, moved, labels, rows)


def _strata(
    index: RowIndex, labels: Labels, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64 | np.int64]:
    """Return by label code what rows are divided in proportion to: its class, its rarest label, or its score."""
    if labels.range is not None:
        scores = [labels.values[raw] for raw in index.raw_labels]
        return np.array([score if isinstance(score, float) else 0.0 for score in scores])
    counts = np.zeros(len(labels.names) + 1, dtype=np.int64)
    by_code = [labels.positions(raw) for raw in index.raw_labels]
    for code, count in enumerate(np.bincount(index.labels_R[rows], minlength=len(by_code))):
        counts[list(by_code[code])] += count
    none = len(labels.names)
    return np.array([min(positions, key=lambda at: counts[at], default=none) for positions in by_code])


def _with_every_class(
    index: RowIndex, splits_R: Splits, labels: Labels, rows: npt.NDArray[np.int64]
) -> Splits:
    """Give the rows of a class that train has lost back to it, which rows of one text and two classes can cause."""
    lost = [
        code for code in _codes(index.labels_R[rows]) if code not in _codes(index.labels_R[splits_R == TRAIN])
    ]
    kept = {
        at
        for code in _codes(index.labels_R[splits_R == TRAIN])
        for at in labels.positions(index.raw_labels[code])
    }
    for code in lost:
        if set(labels.positions(index.raw_labels[code])) - kept:
            keys = index.keys_R[rows[index.labels_R[rows] == code]]
            splits_R[rows[np.isin(index.keys_R[rows], keys)]] = TRAIN
    return splits_R


def _codes(labels_R: npt.NDArray[np.int32]) -> Sequence[int]:
    return [int(code) for code in np.unique(labels_R) if code != NO_LABEL]
