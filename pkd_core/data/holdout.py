"""Holding out a part of the training rows, to choose settings by without looking at the dev split.

Shape suffixes: R rows of the training split, H rows held out, C labels.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.data.token_table import Rows, label_array, read_shards, shards_of
from pkd_core.store.atomic import atomic_file


def choose_held_out(labels_R: npt.NDArray[Any], fraction: float, seed: int) -> Rows:
    """Return the rows to hold out, in ascending order: shuffled, sorted by label, and every (1 / fraction)-th of them.

    So each class, or each range of scores, has the same part of both sides, to within one row. One row of a class is
    left where all of them would be held out. Of several labels, the rarest one of a row is its class.

    Args:
        labels_R: Class positions (integers) or scores, shape (R,); of several labels, 0 or 1 for each, shape (R, C).
        fraction: The part to hold out, from 0 to 0.5.
        seed: Seeds the choice.

    Returns:
        Shape (H,), H = R * fraction rounded, at least 1, less those that are left for their class.

    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> held_out = choose_held_out(labels, 0.25, seed=1)
    >>> labels[held_out].tolist()
    [0, 1]
    """
    if labels_R.ndim == 2:
        labels_R = _rarest_labels(labels_R)
    rng = np.random.default_rng(seed)
    shuffled_R = rng.permutation(len(labels_R))
    sorted_R = shuffled_R[np.argsort(labels_R[shuffled_R], kind="stable")]
    num_held_out = max(1, round(len(labels_R) * fraction))
    step = len(sorted_R) / num_held_out
    positions_H = np.floor((np.arange(num_held_out) + rng.random()) * step).astype(np.int64)
    held_out = np.sort(sorted_R[positions_H])
    if not np.issubdtype(labels_R.dtype, np.integer):
        return held_out
    _, first_rows, inverse_R = np.unique(labels_R, return_index=True, return_inverse=True)
    num_left = np.bincount(inverse_R) - np.bincount(inverse_R[held_out], minlength=len(first_rows))
    return np.setdiff1d(held_out, first_rows[num_left == 0])


def _rarest_labels(labels_RC: npt.NDArray[Any]) -> Rows:
    """Return each row's label that fewest rows have; C for a row without labels."""
    by_rarity_C = np.argsort(labels_RC.sum(axis=0), kind="stable")
    first_R = labels_RC[:, by_rarity_C].argmax(axis=1)
    rarest_R: Rows = np.where(labels_RC.any(axis=1), by_rarity_C[first_R], labels_RC.shape[1])
    return rarest_R


def hold_out(work: Path, dev: str, fraction: float, seed: int, num_choices: int = 1) -> dict[str, int]:
    """Divide the tokens of the training split: a part of its rows becomes the dev split, and the rest remains.

    Args:
        work: Folder with the shards of the training split.
        dev: Name of the dev split.
        fraction: The part to hold out, from 0 to 0.5.
        seed: Seeds the choice.
        num_choices: Sequences of an example, which are held out together.

    Returns:
        The number of examples by split.
    """
    shards = shards_of(work, "train")
    table = read_shards(shards)
    labels_R = label_array(table["label"])[::num_choices]
    is_held_out_R = np.zeros(len(labels_R), dtype=bool)
    is_held_out_R[choose_held_out(labels_R, fraction, seed)] = True
    is_held_out = np.repeat(is_held_out_R, num_choices)
    parts = {"train": table.filter(pa.array(~is_held_out)), dev: table.filter(pa.array(is_held_out))}
    # What an interruption leaves here is written again from the raw file.
    for path in shards:
        path.unlink()
    for name, part in parts.items():
        with atomic_file(work / f"{name}-00000.parquet") as file:
            pq.write_table(part.combine_chunks(), file, compression="zstd", use_dictionary=False)
    return {name: len(part) // num_choices for name, part in parts.items()}
