"""Reading CSV, TSV and lines of text, a batch of rows at a time."""

import csv
import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pkd_core.errors import DataError, listed, quoted, reason, shortened
from pkd_core.own_data.dialect import MAX_FIELD, Dialect, find_dialect, has_header
from pkd_core.own_data.source import BATCH_ROWS, Batch, Source
from pkd_core.own_data.text_encoding import TextEncoding, find_encoding

_SAMPLE_ROWS = 200

# A row and the number of its last line.
_Row = tuple[int, list[str]]


def open_delimited(path: Path, encoding: str | None, wanted: Collection[str]) -> Source:
    """Recognise a file of delimited text.

    Args:
        path: The file.
        encoding: Its encoding; None to find it.
        wanted: Names of columns that the user gives: a first line that holds one is a header.

    Raises:
        DataError: It is no text, is empty, or its first rows have different numbers of fields.
    """
    found = find_encoding(path, encoding)
    with _open(path, found) as file:
        dialect = find_dialect(file)
    rows = [cells for _, cells in itertools.islice(_rows(path, found, dialect), _SAMPLE_ROWS)]
    if not rows:
        raise DataError(f"{path}: expected rows of data, got an empty file; give another one")
    named = has_header(rows, wanted)
    columns, notes = _columns(path, rows[0], named)

    def batches(chosen: Sequence[str]) -> Iterator[Batch]:
        positions = [columns.index(name) for name in chosen]
        checked = _checked(path, _rows(path, found, dialect), len(rows[0]))
        below = itertools.islice(checked, int(named), None)
        while batch := list(itertools.islice(below, BATCH_ROWS)):
            yield {name: [row[at] for row in batch] for name, at in zip(chosen, positions, strict=True)}

    kind = "TSV" if dialect.delimiter == "\t" else "CSV" if dialect.delimiter else "text"
    return Source(
        path,
        (path,),
        tuple(name for name in columns if name),
        f"{kind} ({dialect.description}, {found.name})",
        batches,
        notes=(*([found.note] if found.note else []), *notes),
    )


def _open(path: Path, encoding: TextEncoding) -> TextIO:
    return path.open(encoding=encoding.codec, newline="")


def _columns(path: Path, first: Sequence[str], named: bool) -> tuple[list[str], list[str]]:
    """Return the columns' names, "" for one without, and what to say about them."""
    if named:
        names = [cell.strip() for cell in first]
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise DataError(
                f"{path}: expected different names of columns, got {quoted(twice[0])} twice; rename one"
            )
        return names, []
    if len(first) == 1:
        return ["text"], [f"{path.name} has one text on each line, and no header."]
    names = [f"column{number}" for number in range(1, len(first) + 1)]
    return names, [
        f"The first line of {path.name} is data, not a header ({shortened(listed(first))}): its columns are called "
        f"{listed(names)}."
    ]


def _rows(path: Path, encoding: TextEncoding, dialect: Dialect) -> Iterator[_Row]:
    """Yield every row that is not empty."""
    with _open(path, encoding) as file:
        number = 0

        def lines() -> Iterator[str]:
            nonlocal number
            for line in file:
                number += 1
                if number > dialect.skipped_lines:
                    yield line

        start = 1
        try:
            for cells in dialect.rows(lines()):
                if any(cells):
                    yield number, cells
                start = number + 1
        except csv.Error as error:
            between = "fields between " if dialect.delimiter else ""
            raise DataError(
                f"{path}:{start}: expected {between}{dialect.description}, got {_fault(error)}; fix that line"
            ) from None


def _fault(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field limit" in text:
        return f"a quote that does not end (or a text of more than {MAX_FIELD} characters)"
    if "expected after" in text:
        return "a quote inside a quoted text, which must be written twice"
    return reason(error)


def _checked(path: Path, rows: Iterator[_Row], width: int) -> Iterator[list[str]]:
    for number, cells in rows:
        if len(cells) != width:
            # Spreadsheets add empty cells at the end.
            if len(cells) < width or any(cells[width:]):
                raise DataError(
                    f"{path}:{number}: expected {width} fields, as the first line has, got {len(cells)}: "
                    f"{shortened(listed(cells))}; enclose texts that hold the separator in quotes"
                )
            cells = cells[:width]  # noqa: PLW2901
        yield cells
