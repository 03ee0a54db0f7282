"""What is kept in memory of each row of a user's files, whose texts are read again to be written.

Shape suffix: R rows of all files, in order.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from pkd_core.errors import DataError, quoted
from pkd_core.own_data.labels import LabelError, RawLabel, label_of, label_of_columns
from pkd_core.own_data.names import split_of
from pkd_core.own_data.source import Batch, Source

SPLITS = ("train", "dev", "test", "unlabelled")
# Of a row that no split has; and of one whose file or column names none.
LEFT_OUT, UNKNOWN = -1, -2
NO_LABEL = -1
_SAMPLE_ROWS = 2000
# More than a BERT can read.
_SAMPLE_CHARACTERS = 10_000


@dataclass(frozen=True)
class Part:
    """A table of the user, and which of its columns are read.

    Attributes:
        source: The table.
        texts: Its one or two columns of texts.
        labels: Its columns of labels; none where it has no labels.
        split: The split that the table is; None if its rows are to be divided.
        split_column: The column that says so row by row; None if none does.
    """

    source: Source
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    split: str | None
    split_column: str | None


@dataclass(frozen=True)
class RowIndex:
    """All rows, without their texts.

    Attributes:
        splits_R: Position in SPLITS as the files say, LEFT_OUT for a row without text, or UNKNOWN.
        keys_R: Hash of the texts, in small letters and with single spaces.
        words_R: Number of words.
        labels_R: Position in `raw_labels`, or NO_LABEL.
        part_starts: Where each part's rows begin, and R.
        raw_labels: The distinct labels as the files write them.
        sample: Beginnings of the texts of up to 2000 rows, drawn by their hashes.
    """

    splits_R: npt.NDArray[np.int8]
    keys_R: npt.NDArray[np.uint64]
    words_R: npt.NDArray[np.int32]
    labels_R: npt.NDArray[np.int32]
    part_starts: tuple[int, ...]
    raw_labels: tuple[RawLabel, ...]
    sample: tuple[tuple[str, ...], ...]


def index_rows(parts: Sequence[Part]) -> RowIndex:
    """Read all files once.

    Raises:
        DataError: A row's text, label or split cannot be read, or there are no rows.
    """
    codes: dict[RawLabel, int] = {}
    sample: list[tuple[int, tuple[str, ...]]] = []
    blocks: list[_Block] = []
    starts = [0]
    for part in parts:
        num_rows = 0
        for texts, batch in read_texts(
            part, (*part.labels, *([part.split_column] if part.split_column else []))
        ):
            keys = [key_of(one) for one in texts]
            blocks.append(
                _Block(
                    np.array(_splits(part, batch, texts, num_rows), np.int8),
                    np.array(keys, np.uint64),
                    np.array([sum(len(text.split()) for text in one) for one in texts], np.int32),
                    np.array(_labels(part, batch, codes, num_rows, len(texts)), np.int32),
                )
            )
            kept = (
                (key, tuple(text[:_SAMPLE_CHARACTERS] for text in one))
                for key, one in zip(keys, texts, strict=True)
                if any(one)
            )
            sample = heapq.nsmallest(_SAMPLE_ROWS, [*sample, *kept])
            num_rows += len(texts)
        if not num_rows:
            raise DataError(f"{part.source.path}: expected rows below the header, got none; add some")
        starts.append(starts[-1] + num_rows)
    splits_R, keys_R, words_R, labels_R = (np.concatenate(column) for column in zip(*blocks, strict=True))
    texts_only = tuple(texts for _, texts in sample)
    return RowIndex(splits_R, keys_R, words_R, labels_R, tuple(starts), tuple(codes), texts_only)


def read_texts(part: Part, others: Sequence[str] = ()) -> Iterator[tuple[list[tuple[str, ...]], Batch]]:
    """Yield the one or two texts of each row, batch by batch, beside the values of other columns.

    Raises:
        DataError: A text is a list or an object, or cannot be written as UTF-8.
    """
    num_rows = 0
    for batch in part.source.batches(list(dict.fromkeys((*part.texts, *others)))):
        columns = [batch[name] for name in part.texts]
        texts = []
        for row, cells in enumerate(zip(*columns, strict=True), start=num_rows + 1):
            try:
                texts.append(tuple(_text(cell) for cell in cells))
            except LabelError as error:
                raise DataError(f"{part.source.path}: row {row}: {error}") from None
        num_rows += len(texts)
        yield texts, batch


def key_of(texts: Sequence[str]) -> int:
    """Return a hash of texts, equal for those that differ only in white space and capital letters.

    >>> key_of(["Good  film"]) == key_of(["good film "]), key_of(["a", "b"]) == key_of(["a b"])
    (True, False)
    """
    normal = "\x1f".join(" ".join(text.split()) for text in texts).casefold()
    return int(xxhash.xxh3_64_intdigest(normal.encode("utf-8")))


class _Block(NamedTuple):
    splits: npt.NDArray[np.int8]
    keys: npt.NDArray[np.uint64]
    words: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]


def _text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if not isinstance(cell, str | int | float):
        raise LabelError(f"expected a text, got {quoted(cell)}; name another column with --text")
    text = str(cell).strip()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise LabelError(f"expected a text of whole characters, got {quoted(text)}; fix that row") from None
    return text


def _splits(part: Part, batch: Batch, texts: Sequence[tuple[str, ...]], num_before: int) -> list[int]:
    fixed = UNKNOWN if part.split is None else SPLITS.index(part.split)
    splits = [fixed] * len(texts)
    if part.split_column:
        known: dict[object, int] = {}
        for row, cell in enumerate(batch[part.split_column]):
            if cell not in known:
                split = split_of(str(cell))
                if split is None:
                    raise DataError(
                        f"{part.source.path}: row {num_before + row + 1}: expected train, dev, test or unlabelled in "
                        f"the column {quoted(part.split_column)}, got {quoted(cell)}; fix that row, or name "
                        "another column with --split"
                    )
                known[cell] = SPLITS.index(split)
            splits[row] = known[cell]
    return [split if any(one) else LEFT_OUT for split, one in zip(splits, texts, strict=True)]


def _labels(
    part: Part, batch: Batch, codes: dict[RawLabel, int], num_before: int, num_rows: int
) -> list[int]:
    if not part.labels:
        return [NO_LABEL] * num_rows
    found: list[int] = []
    known: dict[str, int] = {}
    names = [part.source.class_names.get(name, ()) for name in part.labels]
    for row, cells in enumerate(
        zip(*(batch[name] for name in part.labels), strict=True), start=num_before + 1
    ):
        if isinstance(cells[0], str) and len(cells) == 1 and cells[0] in known:
            found.append(known[cells[0]])
            continue
        try:
            raw = label_of(cells[0], names[0]) if len(cells) == 1 else label_of_columns(cells, part.labels)
        except LabelError as error:
            raise DataError(f"{part.source.path}: row {row}: {error}; fix that row") from None
        found.append(NO_LABEL if raw is None else codes.setdefault(raw, len(codes)))
        if isinstance(cells[0], str):
            known[cells[0]] = found[-1]
    return found
