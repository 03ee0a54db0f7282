"""The strict reader of TSV files.

Quotes are plain characters, no field is dropped, and each error names its line. `csv` and Arrow are not used: they end
a line at a lone CR, which texts may contain.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from pkd_core.data.task import LABEL_SEPARATOR, Column, Split, Task
from pkd_core.errors import DataError, listed, quoted

_MAX_LINE_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_SCORE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INDEX = re.compile(r"\d{1,18}", re.ASCII)

# A class position, a score, or the class positions of several labels in ascending order; None without a label.
Label = float | int | tuple[int, ...] | None
_ParseLabel = Callable[[str], Label]


class Example(NamedTuple):
    """One line: its id within the split, one or two texts, and its label."""

    example_id: int
    texts: tuple[str, ...]
    label: Label


@dataclass(frozen=True)
class BadLine:
    """A skipped line: its number in the file, from 1, and what was expected and got."""

    number: int
    reason: str


class _LineError(Exception):
    """A malformed line; the message holds what was expected and got."""


def read_examples(
    path: Path, task: Task, split: Split, bad_lines: list[BadLine] | None = None
) -> Iterator[Example]:
    """Yield the examples of a split.

    Args:
        path: The split's file: UTF-8 with or without a BOM, lines ended by LF or CRLF.
        task: Defines the labels, the range of scores and the maximum number of skipped lines.
        split: Defines the columns. Without an index column, example ids number the examples from 0.
        bad_lines: Skipped lines are appended here.

    Raises:
        DataError: "path:line: expected ..., got ..." for the first malformed line that may not be skipped.
    """
    # Every line of an unlabelled file needs a prediction, so none is skipped.
    max_skipped = task.max_bad_lines if split.label is not None else 0
    lines = _lines(path)
    first_number, first_line = next(lines, (1, ""))
    try:
        parse = _line_parser(first_line, task, split)
    except _LineError as error:
        raise DataError(f"{path}:{first_number}: {error}; fix the file") from None
    if not split.header:
        lines = itertools.chain([(first_number, first_line)], lines)
    num_kept = num_skipped = 0
    for number, line in lines:
        try:
            example = parse(num_kept, line)
        except _LineError as error:
            if num_skipped == max_skipped:
                before = f" after {num_skipped} bad lines that were skipped" if num_skipped else ""
                raise DataError(f"{path}:{number}: {error}{before}; fix the file") from None
            num_skipped += 1
            if bad_lines is not None:
                bad_lines.append(BadLine(number, str(error)))
        else:
            num_kept += 1
            yield example
    if not num_kept:
        raise DataError(f"{path}:{first_number}: expected at least one example below, got none; fix the file")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            yield from read_lines(file, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: expected a readable file, got {reason!r}; put the file there") from error


class HasLines(Protocol):
    """A binary file, or what gives lines like one."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line with its end, or at least `limit` bytes of a longer one; nothing at the end."""


def read_lines(file: HasLines, name: object) -> Iterator[tuple[int, str]]:
    """Yield each line's number and text; only LF ends a line, because texts contain other line separators.

    Args:
        file: Where to read.
        name: Its name, for errors.

    Raises:
        DataError: A line is too long, is not UTF-8, or holds a NUL byte.
    """
    for number in itertools.count(1):
        line = file.readline(_MAX_LINE_BYTES + 1)
        if not line:
            return
        try:
            yield number, _decode(line.removeprefix(_BOM) if number == 1 else line)
        except _LineError as error:
            raise DataError(f"{name}:{number}: {error}; fix the file") from None


def _decode(line: bytes) -> str:
    if len(line) > _MAX_LINE_BYTES:
        raise _LineError(f"expected a line of at most {_MAX_LINE_BYTES} bytes, got a longer one")
    if b"\0" in line:
        raise _LineError(f"expected text, got a NUL byte at byte {line.index(0) + 1} of the line")
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"0x{line[error.start]:02x} at byte {error.start + 1} of the line"
        raise _LineError(f"expected UTF-8, got {got}") from None


def _line_parser(first_line: str, task: Task, split: Split) -> Callable[[int, str], Example]:
    """Return a function of (examples so far, line) for files that begin with `first_line`."""
    first_fields = first_line.split("\t")
    texts = tuple(_position(column, first_fields, split) for column in split.texts)
    label = None if split.label is None else _position(split.label, first_fields, split)
    index = None if split.index is None else _position(split.index, first_fields, split)
    parse_label = _label_parser(task)
    seen: set[int] = set()

    def parse(num_kept: int, line: str) -> Example:
        fields = line.split("\t")
        if not line or len(fields) != len(first_fields):
            got = len(fields) if line else "an empty line"
            raise _LineError(f"expected {_fields(len(first_fields))}, got {got}")
        return Example(
            example_id=num_kept if index is None else _unseen_index(fields[index], seen),
            texts=tuple(fields[position] for position in texts),
            label=None if label is None else parse_label(fields[label]),
        )

    return parse


def _position(column: Column, first_fields: list[str], split: Split) -> int:
    if isinstance(column, int):
        if column >= len(first_fields):
            raise _LineError(f"expected at least {_fields(column + 1)}, got {len(first_fields)}")
        return column
    count = first_fields.count(column)
    if count != 1:
        got = f"it {count} times" if count else quoted("\t".join(first_fields))
        raise _LineError(
            f"expected a header with the column {quoted(column)} for the {split.name} split, got {got}"
        )
    return first_fields.index(column)


def _label_parser(task: Task) -> _ParseLabel:
    if task.label_range:
        return _score_parser(task.label_range)
    parse_class = _class_parser(task.labels)
    return _classes_parser(parse_class) if task.multi_label else parse_class


def _class_parser(labels: tuple[str, ...]) -> Callable[[str], int]:
    positions = {label: position for position, label in enumerate(labels)}

    def parse(text: str) -> int:
        if text not in positions:
            raise _LineError(f"expected a label out of {listed(labels)}, got {quoted(text)}")
        return positions[text]

    return parse


def _classes_parser(parse_class: Callable[[str], int]) -> _ParseLabel:
    """Parse several labels; an empty field is an example that has none of them."""

    def parse(text: str) -> tuple[int, ...]:
        names = text.split(LABEL_SEPARATOR) if text else []
        positions = sorted(map(parse_class, names))
        if len(set(positions)) < len(positions):
            raise _LineError(f"expected every label of an example once, got {quoted(text)}")
        return tuple(positions)

    return parse


def _score_parser(label_range: tuple[float, float]) -> _ParseLabel:
    low, high = label_range

    def parse(text: str) -> float:
        if not _SCORE.fullmatch(text) or not low <= float(text) <= high:
            raise _LineError(f"expected a score from {low} to {high}, got {quoted(text)}")
        return float(text)

    return parse


def _unseen_index(text: str, seen: set[int]) -> int:
    if not _INDEX.fullmatch(text):
        raise _LineError(f"expected a whole number as the example's index, got {quoted(text)}")
    index = int(text)
    if index in seen:
        raise _LineError(f"expected every index once, got {index} again")
    seen.add(index)
    return index


def _fields(count: int) -> str:
    return f"{count} field{'s' if count > 1 else ''}"
