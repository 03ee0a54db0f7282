"""Texts that a user wants predicted: given as arguments, as lines, or as a TSV file with a header."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pkd_core.data.tsv import read_lines, read_table
from pkd_core.errors import DataError, listed, quoted, shortened

_ANY_COLUMNS = (("text",), ("text_a", "text_b"))


@dataclass(frozen=True)
class Texts:
    """Examples without labels, and what else their file holds.

    Attributes:
        columns: Name of each column.
        rows: Fields of each example.
        positions: Which one or two columns are the texts.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    positions: tuple[int, ...]

    @property
    def examples(self) -> list[tuple[str, ...]]:
        """The one or two texts of each example."""
        return [tuple(row[position] for position in self.positions) for row in self.rows]


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
        DataError: A line is not UTF-8, is empty, or has another number of texts.
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
        DataError: The file cannot be read, a line is malformed, a column is missing, or a text is empty.
    """
    lines = read_table(path)
    header = next(lines, [])
    if columns is None:
        named = [names for names in _ANY_COLUMNS if set(names) <= set(header)]
        columns = named[-1] if named else tuple(header)
    if len(columns) > 2 or any(header.count(name) != 1 for name in columns) or not header:
        wanted = " and ".join(quoted(name) for name in columns) if len(columns) <= 2 else "'text'"
        raise DataError(
            f"{path}:1: expected a header with the column {wanted} once, got {quoted(chr(9).join(header))}; "
            "name the columns so"
        )
    positions = tuple(header.index(name) for name in columns)
    texts = Texts(tuple(header), [tuple(fields) for fields in lines], positions)
    for number, example in enumerate(texts.examples, start=2):
        _check(f"{path}:{number}", example, len(columns))
    if not texts.rows:
        raise DataError(f"{path}:2: expected at least one text below the header, got none; add some")
    return texts


def _texts(rows: Iterable[tuple[str, tuple[str, ...]]], columns: tuple[str, ...] | None) -> Texts:
    examples = list(_checked(rows, columns))
    if not examples:
        raise DataError("expected at least one text, got none; give some")
    names = columns or _ANY_COLUMNS[len(examples[0]) - 1]
    return Texts(names, examples, tuple(range(len(names))))


def _checked(
    rows: Iterable[tuple[str, tuple[str, ...]]], columns: tuple[str, ...] | None
) -> Iterator[tuple[str, ...]]:
    num_texts = None if columns is None else len(columns)
    for place, texts in rows:
        num_texts = num_texts or min(len(texts), 2)
        _check(place, texts, num_texts)
        yield texts


def _check(place: str, texts: tuple[str, ...], num_texts: int) -> None:
    if len(texts) != num_texts:
        wanted = "one text" if num_texts == 1 else "two texts, with a tab between them"
        raise DataError(f"{place}: expected {wanted}, got {len(texts)}: {shortened(listed(texts))}")
    if not all(text.strip() for text in texts):
        raise DataError(f"{place}: expected a text, got an empty one; remove it")
