"""Which split each row of a user's files is in.

Shape suffix: R rows of all files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pkd_core.errors import DataError, listed
from pkd_core.own_data.cut import DEV, TEST, TRAIN, UNLABELLED, cut
from pkd_core.own_data.labels import Labels
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.row_index import LEFT_OUT, NO_LABEL, SPLITS, UNKNOWN, Part, RowIndex

# Fewer leave nothing to measure.
_MIN_TEXTS = 20


@dataclass(frozen=True)
class Division:
    """The split of each row.

    Attributes:
        splits_R: Position in SPLITS, or LEFT_OUT.
        num_without_label: Rows of dev and test that were left out for want of a label.
        notes: What was decided, as sentences.
    """

    splits_R: npt.NDArray[np.int8]
    num_without_label: int
    notes: tuple[str, ...]


def divide(request: DataRequest, parts: Sequence[Part], index: RowIndex, labels: Labels) -> Division:
    """Decide each row's split: as files or a column say, and by a cut where there is no dev or no test.

    Raises:
        DataError: There are too few rows, or a split's labels leave nothing to learn or to score.
    """
    splits_R, notes = index.splits_R.copy(), []
    splits_R[splits_R == UNKNOWN] = TRAIN
    for part, start, end in zip(parts, index.part_starts, index.part_starts[1:], strict=False):
        if part.split == "test" and (index.labels_R[start:end] == NO_LABEL).all():
            splits_R[start:end] = LEFT_OUT
            notes.append(
                f"{part.source.path.name} has no labels, so nothing can be scored on it and it is not used; "
                "`pkd predict` labels it afterwards."
            )
    without_label = (splits_R == TRAIN) & (index.labels_R == NO_LABEL)
    if without_label.any():
        notes.append(f"{int(without_label.sum())} rows without label are texts for the teacher to label.")
    splits_R[without_label] = UNLABELLED
    wanted = ((TEST, request.test_fraction), (DEV, request.dev_fraction))
    missing = [(split, part) for split, part in wanted if part and not (splits_R == split).any()]
    if missing:
        _check_enough(request, index, splits_R)
    for split, fraction in missing:
        splits_R = cut(index, splits_R, labels, split, fraction, request.seed)
        use = "final scores" if split == TEST else "choosing models"
        notes.append(
            f"{int((splits_R == split).sum())} rows were taken out of train as {SPLITS[split]}, for {use} "
            f"(seed {request.seed})."
        )
    without_label = ((splits_R == DEV) | (splits_R == TEST)) & (index.labels_R == NO_LABEL)
    splits_R[without_label] = LEFT_OUT
    _check_splits(request, index, splits_R, labels)
    return Division(splits_R, int(without_label.sum()), tuple(notes))


def _check_enough(request: DataRequest, index: RowIndex, splits_R: npt.NDArray[np.int8]) -> None:
    num_texts = len(np.unique(index.keys_R[(splits_R == TRAIN) & (index.labels_R != NO_LABEL)]))
    if num_texts < _MIN_TEXTS:
        raise DataError(
            f"{request.data}: expected at least {_MIN_TEXTS} different texts with labels, to take dev and test out of "
            f"them, got {num_texts}; add rows, or name files with --dev and --test"
        )


def _check_splits(
    request: DataRequest, index: RowIndex, splits_R: npt.NDArray[np.int8], labels: Labels
) -> None:
    in_train = _raw_labels(index, splits_R, TRAIN)
    known = {position for raw in in_train for position in labels.positions(raw)}
    for split in (TRAIN, DEV, TEST):
        found = _raw_labels(index, splits_R, split)
        if split == TEST and not found:
            continue
        unknown = [labels.names[at] for raw in found for at in labels.positions(raw) if at not in known]
        if unknown:
            raise DataError(
                f"{request.data}: expected every label of {SPLITS[split]} in train too, got "
                f"{listed(list(dict.fromkeys(unknown)))} in {SPLITS[split]} alone; add such rows to train, or take "
                "them out"
            )
        if len({labels.values[raw] for raw in found}) < 2:
            got = f"{listed(found)} alone" if found else "no row with a label"
            raise DataError(
                f"{request.data}: expected at least two different labels in {SPLITS[split]}, got {got}; add rows, or "
                f"give another {SPLITS[split]} split"
            )


def _raw_labels(index: RowIndex, splits_R: npt.NDArray[np.int8], split: int) -> list[str | tuple[str, ...]]:
    codes = np.unique(index.labels_R[splits_R == split])
    return [index.raw_labels[code] for code in codes if code != NO_LABEL]
