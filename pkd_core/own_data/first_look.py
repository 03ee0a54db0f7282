"""A first look at a user's data, before anything is computed: sizes, classes, lengths, and what may be wrong.

Shape suffix: R rows of all files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pkd_core.errors import listed, quoted
from pkd_core.own_data.divide import Division
from pkd_core.own_data.labels import Labels
from pkd_core.own_data.row_index import LEFT_OUT, NO_LABEL, SPLITS, RowIndex

FEW_ROWS = 10
_SHARES = (0.05, 0.5, 0.95, 1.0)
_PAIRS = (("test", "train"), ("test", "dev"), ("dev", "train"))

# Texts of a row, by its number.
TextsAt = Callable[[int], Sequence[str]]


@dataclass(frozen=True)
class Leak:
    """Rows of one split whose text is in another too, with one of these texts."""

    split: str
    other: str
    num_rows: int
    example: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """Texts that occur with different labels, with one of them."""

    num_texts: int
    example: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class FirstLook:
    """What the data are.

    Attributes:
        rows: Rows by split.
        class_rows: Rows of each class by split; empty for scores.
        words: Words of a row: quantiles 0.05, 0.5, 0.95, and the most.
        num_empty: Rows without text, which are left out.
        num_without_label: Rows of dev and test without label, which are left out.
        duplicates: Rows by split whose text came before in the same split.
        leaks: Texts that two splits share.
        conflict: Texts with different labels; None if there is none.
    """

    rows: Mapping[str, int]
    class_rows: Mapping[str, Mapping[str, int]]
    words: tuple[int, int, int, int]
    num_empty: int
    num_without_label: int
    duplicates: Mapping[str, int]
    leaks: tuple[Leak, ...]
    conflict: Conflict | None

    @property
    def rare_classes(self) -> dict[str, int]:
        """Training rows of the classes that have fewer than ten."""
        return {name: rows["train"] for name, rows in self.class_rows.items() if rows["train"] < FEW_ROWS}

    @property
    def table(self) -> list[tuple[str, str]]:
        """What a terminal shows: a name and its value in each line."""
        _, half, many, most = self.words
        lines = [
            ("rows", ", ".join(f"{count} {split}" for split, count in self.rows.items() if count)),
            ("words of a text", f"half have {half} or fewer, 95 % {many} or fewer, the longest {most}"),
        ]
        if self.class_rows:
            by_size = sorted(self.class_rows, key=lambda name: -self.class_rows[name]["train"])
            counts = [f"{name} {self.class_rows[name]['train']}" for name in by_size]
            shown = counts if len(counts) <= 8 else [*counts[:3], "...", *counts[-2:]]
            lines.insert(1, (f"{len(counts)} classes in train", ", ".join(shown)))
        repeated = {split: count for split, count in self.duplicates.items() if count}
        if repeated:
            lines.append(
                ("repeated texts", ", ".join(f"{count} in {split}" for split, count in repeated.items()))
            )
        return lines

    @property
    def warnings(self) -> list[str]:
        """What may be wrong, as sentences."""
        texts = [
            f"{leak.num_rows} of {self.rows[leak.split]} rows of {leak.split} have a text that {leak.other} has too, "
            f"such as {_shown(leak.example)}: scores on {leak.split} may be too high. All rows were kept."
            for leak in self.leaks
        ]
        if self.conflict:
            texts.append(
                f"{_count(self.conflict.num_texts, 'text')} with different labels, such as "
                f"{_shown(self.conflict.example)} as {listed(self.conflict.labels)}."
            )
        if self.rare_classes:
            named = [f"{name} ({count})" for name, count in self.rare_classes.items()]
            classes = "classes have" if len(named) > 1 else "class has"
            texts.append(
                f"{len(named)} {classes} fewer than {FEW_ROWS} rows in train, which is little to learn "
                f"from: {listed(named)}."
            )
        if self.num_empty:
            texts.append(f"Left out: {_count(self.num_empty, 'row')} without text.")
        if self.num_without_label:
            texts.append(f"Left out: {_count(self.num_without_label, 'row')} of dev and test without label.")
        return texts


def look_at(index: RowIndex, division: Division, labels: Labels, texts_at: TextsAt) -> FirstLook:
    """Look at rows that are divided into splits.

    Args:
        index: The rows.
        division: Their splits.
        labels: What their labels stand for.
        texts_at: Reads the texts of a row, for examples.
    """
    splits_R = division.splits_R
    in_split = {name: np.flatnonzero(splits_R == position) for position, name in enumerate(SPLITS)}
    kept_words = index.words_R[splits_R != LEFT_OUT]
    few, half, many, most = (int(value) for value in np.quantile(kept_words, _SHARES, method="inverted_cdf"))
    keys = {name: np.unique(index.keys_R[rows]) for name, rows in in_split.items()}
    return FirstLook(
        rows={name: len(rows) for name, rows in in_split.items()},
        class_rows=_class_rows(index, in_split, labels),
        words=(few, half, many, most),
        num_empty=int((index.splits_R == LEFT_OUT).sum()),
        num_without_label=division.num_without_label,
        duplicates={name: len(rows) - len(keys[name]) for name, rows in in_split.items()},
        leaks=tuple(_leaks(index, in_split, keys, texts_at)),
        conflict=_conflict(index, splits_R, texts_at),
    )


def _class_rows(
    index: RowIndex, in_split: Mapping[str, npt.NDArray[np.int64]], labels: Labels
) -> dict[str, dict[str, int]]:
    rows = {name: dict.fromkeys(SPLITS[:3], 0) for name in labels.names}
    for split in SPLITS[:3]:
        of_split = index.labels_R[in_split[split]]
        counts = np.bincount(of_split[of_split != NO_LABEL], minlength=len(index.raw_labels))
        for raw, count in zip(index.raw_labels, counts.tolist(), strict=True):
            for position in labels.positions(raw):
                rows[labels.names[position]][split] += count
    return rows


def _leaks(
    index: RowIndex,
    in_split: Mapping[str, npt.NDArray[np.int64]],
    keys: Mapping[str, npt.NDArray[np.uint64]],
    texts_at: TextsAt,
) -> list[Leak]:
    leaks = []
    for split, other in _PAIRS:
        rows = in_split[split]
        shared = rows[np.isin(index.keys_R[rows], keys[other])]
        if len(shared):
            leaks.append(Leak(split, other, len(shared), tuple(texts_at(int(shared[0])))))
    return leaks


def _conflict(index: RowIndex, splits_R: npt.NDArray[np.int8], texts_at: TextsAt) -> Conflict | None:
    rows = np.flatnonzero((splits_R != LEFT_OUT) & (index.labels_R != NO_LABEL))
    pairs = np.stack([index.keys_R[rows], index.labels_R[rows].astype(np.uint64)], axis=1)
    distinct = np.unique(pairs, axis=0)
    keys, counts = np.unique(distinct[:, 0], return_counts=True)
    several = keys[counts > 1]
    if not len(several):
        return None
    row = int(rows[np.isin(index.keys_R[rows], several)][0])
    codes = distinct[distinct[:, 0] == index.keys_R[row], 1].astype(np.int64)
    raw = [index.raw_labels[code] for code in codes]
    shown = tuple(one if isinstance(one, str) else "+".join(one) or "none" for one in raw)
    return Conflict(len(several), tuple(texts_at(row)), shown)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _shown(texts: Sequence[str]) -> str:
    return " / ".join(quoted(text) for text in texts)
