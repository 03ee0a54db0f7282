"""Texts that a user wants predicted: given as arguments, as lines, or as a TSV file with a header.

Rows are read and checked one after the other, so that a file of any length needs little memory.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pkd_core.data.tsv import read_lines, read_table
from pkd_core.errors import DataError, listed, quoted, shortened

_ANY_COLUMNS = (("text",), ("text_a", "text_b"))

# The fields of an example as its file has them: strings in TSV, whatever JSON or Parquet hold elsewhere.
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Texts:
    """Examples without labels, and what else their file holds.

    Attributes:
        columns: Name of each column.
        positions: Which one or two columns are the texts.
        rows: Fields of each example, to be read once. An example without a text is a DataError when it is reached.
    """

    columns: tuple[str, ...]
    positions: tuple[int, ...]
    rows: Iterator[Row]

    def of(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """Return the one or two texts of each of some rows."""
        return [tuple(row[position] for position in self.positions) for row in rows]


def texts_of_arguments(arguments: Sequence[str], columns: tuple[str, ...] | None) -> Texts:
    """Return the texts of a command line.

    Args:
        arguments: One text each. For a task of two texts, every two are an example, unless a tab separates both in one.
        columns: Names of a task's texts; None for a model of which no task is known: a tab then makes a pair.

    Raises:
        DataError: A text is empty, or there is one too many or too few.
    """
    given = [tuple(argument.split("\t")) for argument in arguments]
    if columns is not None and len(columns) == 2 and all(len(texts) == 1 for texts in given):
        if len(given) % 2:
            raise DataError(
                f"expected two texts for each example ({' and '.join(columns)}), got {len(given)}; give the other one"
            )
        given = [(*first, *second) for first, second in zip(given[::2], given[1::2], strict=True)]
    return _texts(((f"text {number}", texts) for number, texts in enumerate(given, start=1)), columns)


def texts_of_lines(file: BinaryIO, name: str, columns: tuple[str, ...] | None) -> Texts:
    """Return the texts of a stream: a line for each example, with a tab between two texts.

    Raises:
        DataError: A line is not UTF-8, is empty, or has another number of texts; of a later line, when it is reached.
    """
    rows = ((f"{name}:{number}", tuple(line.split("\t"))) for number, line in read_lines(file, name))
    return _texts(rows, columns)


def texts_of_file(path: Path, columns: tuple[str, ...] | None) -> Texts:
    """Return the texts of a TSV file with a header, and its other columns.

    Args:
        path: The file.
        columns: Names of a task's texts; None for a model of which no task is known: the file's only columns, or those
            named "text", or "text_a" and "text_b".

    Raises:
        DataError: The file cannot be read, a column is missing, or there is no row; a line is malformed or a text is
            empty, when it is reached.
    """
    lines = read_table(path)
    header = tuple(next(lines, []))
    rows = ((f"{path}:{number}", tuple(fields)) for number, fields in enumerate(lines, start=2))
    return texts_of_rows(f"{path}:1", header, rows, columns)


def texts_of_rows(
    place: str, header: tuple[str, ...], rows: Iterable[tuple[str, Row]], columns: tuple[str, ...] | None
) -> Texts:
    """Return the texts of a table.

    Args:
        place: The file and, if it has lines, the header's, for errors.
        header: Names of the table's columns.
        rows: The place and the fields of each row.
        columns: As for `texts_of_file`.

    Raises:
        DataError: A column is missing, or there is no row; a text is empty or null, when it is reached.
    """
    if columns is None:
        named = [names for names in _ANY_COLUMNS if set(names) <= set(header)]
        columns = named[-1] if named else header
    if len(columns) > 2 or any(header.count(name) != 1 for name in columns) or not header:
        wanted = " and ".join(quoted(name) for name in columns) if len(columns) <= 2 else "'text'"
        raise DataError(
            f"{place}: expected a header with the column {wanted} once, got {quoted(chr(9).join(header))}; "
            "name the columns so"
        )
    positions = tuple(header.index(name) for name in columns)
    return Texts(header, positions, _some(_checked_rows(rows, columns, positions), f"{place}: "))


def _checked_rows(
    rows: Iterable[tuple[str, Row]], columns: tuple[str, ...], positions: tuple[int, ...]
) -> Iterator[Row]:
    for place, row in rows:
        for name, position in zip(columns, positions, strict=True):
            _check_text(f"{place}: expected a text in the column {quoted(name)}", row[position])
        yield row


def _texts(rows: Iterable[tuple[str, tuple[str, ...]]], columns: tuple[str, ...] | None) -> Texts:
    checked = _some(_checked(rows, columns), "")
    first = next(checked)
    names = columns or _ANY_COLUMNS[len(first) - 1]
    return Texts(names, tuple(range(len(names))), itertools.chain([first], checked))


def _some(rows: Iterator[Row], place: str) -> Iterator[Row]:
    """Return the rows, of which there must be one."""
    first = next(rows, None)
    if first is None:
        raise DataError(f"{place}expected at least one text, got none; add some")
    return itertools.chain([first], rows)


def _checked(
    rows: Iterable[tuple[str, tuple[str, ...]]], columns: tuple[str, ...] | None
) -> Iterator[tuple[str, ...]]:
    num_texts = None if columns is None else len(columns)
    for place, texts in rows:
        num_texts = num_texts or min(len(texts), 2)
        if len(texts) != num_texts:
            wanted = "one text" if num_texts == 1 else "two texts, with a tab between them"
            raise DataError(f"{place}: expected {wanted}, got {len(texts)}: {shortened(listed(texts))}")
        for text in texts:
            _check_text(f"{place}: expected a text", text)
        yield texts


def _check_text(expected: str, text: object) -> None:
    if not isinstance(text, str):
        got = "none" if text is None else quoted(text)
        raise DataError(f"{expected}, got {got}; fill it in, or remove the row")
    if not text.strip():
        raise DataError(f"{expected}, got an empty one; fill it in, or remove the row")
