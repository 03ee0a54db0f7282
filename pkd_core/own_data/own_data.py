"""A user's own data: read, understood and divided into splits; their texts stay in the files until they are written."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.race import RACE
from pkd_core.errors import DataError, listed, quoted
from pkd_core.own_data.columns import Columns, choose_columns, text_columns_of
from pkd_core.own_data.divide import divide
from pkd_core.own_data.files import SplitSource, find_files
from pkd_core.own_data.first_look import FirstLook, look_at
from pkd_core.own_data.labels import Labels, understand
from pkd_core.own_data.names import split_of
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.row_index import (
    NO_LABEL,
    Part,
    RowIndex,
    index_rows,
    read_texts,
)
from pkd_core.store.address import is_reserved
from pkd_core.store.fingerprint import canonical_json, sha256_file

# Part of the digest: raise it when the same files become other rows.
_VERSION = 1


@dataclass(frozen=True)
class OwnData:
    """A user's data as a task.

    Attributes:
        name: The task's name.
        texts: The one or two columns of texts.
        label: The column of labels.
        labels: Their kind, names and meaning.
        notes: How the files were read and what was guessed, as sentences.
        first_look: Sizes, lengths, and what may be wrong.
        digest: Hash of the files and of all in the request that decides about rows.
        parts: The tables.
        index: Their rows.
        splits_R: Position in SPLITS of each row, or LEFT_OUT.
        labelled_by: Names of the teachers whose answers the labels are; empty if the user's files have them.
    """

    name: str
    texts: tuple[str, ...]
    label: str
    labels: Labels
    notes: tuple[str, ...]
    first_look: FirstLook
    digest: str
    parts: tuple[Part, ...] = field(repr=False)
    index: RowIndex = field(repr=False)
    splits_R: npt.NDArray[np.int8] = field(repr=False)
    labelled_by: str = ""

    @property
    def sample(self) -> Sequence[tuple[str, ...]]:
        """Texts of up to 2000 rows, to measure lengths or times by."""
        return self.index.sample


def read_own_data(request: DataRequest) -> OwnData:
    """Recognise, read and divide a user's files.

    Args:
        request: Names the files, and what of them is text, label and split.

    Raises:
        DataError: A file, column, label or split is missing or not what was expected.
    """
    name = task_name(request)
    files = find_files(request)
    first = files[0].source
    has_split_files = {one.split for one in files} & {"dev", "test"} != set() or len(files) > 1
    columns = choose_columns(first, request, has_split_files)
    parts = [_part(one, columns, first is one.source) for one in files]
    index = index_rows(parts)
    counts = np.bincount(index.labels_R[index.labels_R != NO_LABEL], minlength=len(index.raw_labels))
    order = columns.labels if len(columns.labels) > 1 else first.class_names.get(columns.labels[0], ())
    labels = understand(dict(zip(index.raw_labels, counts.tolist(), strict=True)), request, order)
    division = divide(request, parts, index, labels)
    return OwnData(
        name,
        columns.texts,
        columns.labels[0] if len(columns.labels) == 1 else _free_name("labels", columns.texts),
        labels,
        (*_read_notes(parts), *columns.notes, *labels.notes, *division.notes),
        look_at(index, division, labels, lambda row: _texts_at(parts, index, row)),
        _digest(request, parts),
        tuple(parts),
        index,
        division.splits_R,
    )


def _part(file: SplitSource, columns: Columns, is_first: bool) -> Part:
    source = file.source
    if is_first:
        return Part(source, columns.texts, columns.labels, file.split, columns.split)
    texts = text_columns_of(source, columns.texts)
    has_labels = set(columns.labels) <= set(source.columns) and file.split != "unlabelled"
    if not has_labels and file.split in ("train", "dev"):
        raise DataError(
            f"{source.path} has no column {quoted(columns.labels[0])}; its columns are {listed(source.columns)}: name "
            "the labels' column as in the other files"
        )
    return Part(source, texts, columns.labels if has_labels else (), file.split, None)


def _texts_at(parts: Sequence[Part], index: RowIndex, row: int) -> tuple[str, ...]:
    number = next(at for at in range(len(parts)) if row < index.part_starts[at + 1])
    rows: Iterator[tuple[str, ...]] = itertools.chain.from_iterable(
        texts for texts, _ in read_texts(parts[number])
    )
    return next(itertools.islice(rows, row - index.part_starts[number], None))


def _read_notes(parts: Sequence[Part]) -> list[str]:
    read: dict[str, list[str]] = {}
    for part in parts:
        read.setdefault(part.source.description, []).append(part.source.path.name)
    notes = [note for part in parts for note in part.source.notes]
    return [*(f"{listed(names)}: {what}." for what, names in read.items()), *notes]


def _digest(request: DataRequest, parts: Sequence[Part]) -> str:
    """Hash the files' bytes and what of the request decides about rows; no path and no name is part of it."""
    values = request.model_dump(mode="json", exclude={"data", "name", "dev", "test", "unlabelled"})
    files = [
        [part.split, part.texts, part.labels, [sha256_file(file) for file in part.source.files]]
        for part in parts
    ]
    return hashlib.sha256(canonical_json([_VERSION, values, files])).hexdigest()


def _free_name(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _free_name(f"{name}_", taken)


def task_name(request: DataRequest) -> str:
    """Return the name of the task that a user's data become.

    Raises:
        DataError: It cannot be a folder's name, or is one that pkd uses itself.
    """
    data = request.data.expanduser().resolve()
    stem = data.name if data.is_dir() else data.stem
    if request.name is None and split_of(stem):
        stem = data.parent.name
    name = request.name or re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise DataError(
            f"expected a name of up to 100 letters, digits, '.', '_' or '-', got {quoted(name)}; give another with "
            "--name"
        )
    if name in (*GLUE_TASKS, RACE.name, "AX") or is_reserved(name):
        raise DataError(f"{name} is a name that pkd uses itself; give your data another one with --name")
    return name
