"""Rows of text in columns, for terminals."""

from collections.abc import Sequence

_GAP = "  "


def in_columns(headings: Sequence[str], rows: Sequence[Sequence[str] | str]) -> list[str]:
    """Return lines: the headings, a rule, and the rows; the first column is on the left, the others on the right.

    Args:
        headings: Each of at most two lines.
        rows: Cells, or a line that is taken as it is.
    """
    split = [heading.rpartition("\n")[::2] for heading in headings]
    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(map(len, column)) for column in zip(*cells, *zip(*split, strict=True), strict=True)]
    rule = "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    lines = [_line(part, widths) for part in zip(*split, strict=True)]
    return [*lines, rule, *(row if isinstance(row, str) else _line(row, widths) for row in rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    padded = [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
    ]
    return _GAP.join(padded).rstrip()
