"""How a file of delimited text is written: what separates columns, whether quotes enclose them, and its header."""

import csv
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from pkd_core.own_data.names import is_known_name

_DELIMITERS = ("\t", ",", ";", "|")
_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
_EXCELS_HINT = re.compile(r"sep=(.)\s*")
_SAMPLE_LINES = 500
_MAX_HEADER_LENGTH = 60
# The largest field; csv's own limit of 131072 is less than some documents have.
MAX_FIELD = 1 << 24


@dataclass(frozen=True)
class Dialect:
    """How to split lines into fields.

    Attributes:
        delimiter: None where each line is one field.
        quotes: Whether quotes enclose fields; otherwise they are plain characters.
        skipped_lines: Lines before the header.
    """

    delimiter: str | None
    quotes: bool
    skipped_lines: int = 0

    @property
    def description(self) -> str:
        """Return what separates the columns, for readers."""
        return _NAMES.get(self.delimiter, repr(self.delimiter)) if self.delimiter else "one text a line"

    def rows(self, lines: Iterable[str]) -> Iterable[list[str]]:
        """Yield the fields of each row; raises csv.Error."""
        csv.field_size_limit(MAX_FIELD)
        if self.delimiter is None and not self.quotes:
            return ([line.rstrip("\r\n")] if line.strip() else [] for line in lines)
        return csv.reader(
            lines,
            delimiter=self.delimiter or ",",
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=self.quotes,
        )


def find_dialect(file: TextIO) -> Dialect:
    """Return how the beginning of a file is written; the file is open with newline=""."""
    lines = [line for line in (file.readline(MAX_FIELD) for _ in range(_SAMPLE_LINES)) if line]
    if lines and (hint := _EXCELS_HINT.fullmatch(lines[0])):
        return Dialect(hint[1], quotes=True, skipped_lines=1)
    candidates = [Dialect(delimiter, _quotes(lines, delimiter)) for delimiter in _DELIMITERS]
    fits = {dialect: _widths(dialect, lines) for dialect in candidates}
    even = [one for one, widths in fits.items() if len(set(widths)) == 1 and widths[0] > 1]
    if even:
        return max(even, key=lambda one: fits[one][0])
    # A broken row, which reading names, must not hide what separates the others.
    mostly = [one for one, widths in fits.items() if widths and widths[0] > 1 and _agree(widths) > 0.5]
    if mostly:
        return max(mostly, key=lambda one: _agree(fits[one]))
    single = Dialect(None, quotes=True)
    starts_quoted = any(line.startswith('"') for line in lines)
    is_single = starts_quoted and set(_widths(single, lines)) == {1}
    return single if is_single else Dialect(None, quotes=False)


def has_header(rows: Sequence[Sequence[str]], wanted: Iterable[str]) -> bool:
    """Return whether the first row names the columns, as far as its cells tell.

    It does if it holds a name that the user gives or a usual one. It does not if a cell is empty, long or a number, or
    comes again below, as a label does.

    Args:
        rows: The first rows, of equal length.
        wanted: Names of columns that the user gives.
    """
    first = [cell.strip() for cell in rows[0]]
    if set(first) & set(wanted):
        return True
    below = list(zip(*rows[1:], strict=False)) or [()] * len(first)
    if any(is_known_name(cell) for cell in first):
        return True
    filled = [cell for cell in first if cell]
    if not filled or any(len(cell) > _MAX_HEADER_LENGTH or _is_number(cell) for cell in filled):
        return False
    return len(first) > 1 and not any(
        cell in map(str.strip, column) for cell, column in zip(first, below, strict=True) if cell
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _quotes(lines: Sequence[str], delimiter: str) -> bool:
    """Return whether quotes enclose fields.

    Between tabs they may be plain characters. They are where a field holds one that does not enclose it, as whoever
    encloses fields encloses those; unless only enclosing gives rows of equal length.
    """
    if delimiter != "\t":
        return True
    fields = [field for line in lines for field in line.rstrip("\r\n").split("\t") if '"' in field]
    if len(set(_widths(Dialect(delimiter, quotes=False), lines))) == 1:
        return bool(fields) and all(len(one) > 1 and one[0] == one[-1] == '"' for one in fields)
    return len(set(_widths(Dialect(delimiter, quotes=True), lines))) == 1


def _widths(dialect: Dialect, lines: Sequence[str]) -> list[int]:
    """Return the number of fields of each row, up to the first that cannot be read: the lines may end within it."""
    widths: list[int] = []
    with suppress(csv.Error):
        widths.extend(len(row) for row in dialect.rows(lines) if any(row))
    return widths


def _agree(widths: Sequence[int]) -> float:
    return widths.count(widths[0]) / len(widths)
