"""Texts that a user wants predicted: given as arguments, as lines, or in the rows of a table.

Rows are read and checked one after the other, so that a file of any length needs little memory.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pkd_core.data.arriving_lines import ArrivingLines, Stream
from pkd_core.data.tsv import read_lines
from pkd_core.errors import DataError, listed, quoted, shortened

_ANY_COLUMNS = (("text",), ("text_a", "text_b"))

# The fields of an example as its file has them: strings, or whatever JSON or Parquet hold.
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Texts:
    """Examples without labels, and what else their file holds.

    Attributes:
        columns: Name of each column.
        positions: Which one or two columns are the texts.
        rows: Fields of each example, to be read once. An example without a text is a DataError when it is reached.
        may_wait: Whether the next example may not be there yet, as its writer is still at work.
    """

    columns: tuple[str, ...]
    positions: tuple[int, ...]
    rows: Iterator[Row]
    may_wait: Callable[[], bool] = lambda: False

    def take(self, limit: int) -> list[Row]:
        """Return the next examples: those that are there, at least one and at most `limit`; none at the end.

        Raises:
            DataError: One of them has no text.
        """
        taken: list[Row] = []
        for row in self.rows:
            taken.append(row)
            if len(taken) == limit or self.may_wait():
                break
        return taken

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


def texts_of_lines(stream: Stream, name: str, columns: tuple[str, ...] | None) -> Texts:
    """Return the texts of a stream, as they come: a line for each example, with a tab between two texts.

    Raises:
        DataError: A line is not UTF-8, is empty, or has another number of texts; of a later line, when it is reached.
    """
    lines = ArrivingLines(stream)
    rows = ((f"{name}:{number}", tuple(line.split("\t"))) for number, line in read_lines(lines, name))
    return replace(_texts(rows, columns), may_wait=lambda: lines.may_wait)


def texts_of_rows(
    name: str, header: tuple[str, ...], rows: Iterable[tuple[str, Row]], columns: Sequence[str]
) -> Texts:
    """Return the texts of a table.

    Args:
        name: Of the table, for errors.
        header: Names of the table's columns.
        rows: The place and the fields of each row.
        columns: Those one or two of its columns that are the texts.

    Raises:
        DataError: There is no row; a text is empty or null, when it is reached.
    """
    positions = tuple(header.index(column) for column in columns)
    return Texts(header, positions, _some(_checked_rows(rows, columns, positions), f"{name}: "))


def _checked_rows(
    rows: Iterable[tuple[str, Row]], columns: Sequence[str], positions: tuple[int, ...]
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
