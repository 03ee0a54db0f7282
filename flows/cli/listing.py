"""Rows of named values for a terminal: a table where it fits, else each row on lines of its own; nothing is cut."""

import json
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# A file or a pipe has no width; rich wants one.
_UNLIMITED = 100_000
_GAP = 2


def terminal_width() -> int:
    """Return the terminal's columns; very many where the output is a file or a pipe."""
    console = _console(None)
    return console.width if console.is_terminal else _UNLIMITED


def show_rows(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    num_names: int,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> None:
    """Show rows as a table; where the terminal is too narrow, each row as its names and, below them, the rest.

    A column without a single value is left out.

    Args:
        headings: One for each column.
        rows: One cell for each heading.
        num_names: How many of the first columns name a row.
        right: Headings of the columns to align at the right.
        optional: Headings of the columns to leave out where the terminal is too narrow.
    """
    columns = [column for column in zip(headings, *rows, strict=True) if any(map(str, column[1:]))]
    if _width(columns) > terminal_width():
        columns = [column for column in columns if column[0] not in optional]
    if _width(columns) <= terminal_width():
        table = Table(box=None, pad_edge=False)
        for heading, *_ in columns:
            table.add_column(str(heading), no_wrap=True, justify="right" if heading in right else "left")
        for row in zip(*(cells for _, *cells in columns), strict=True):
            table.add_row(*row)
        _console(_width(columns)).print(table)
    else:
        for number in range(1, len(rows) + 1):
            _show_record([(str(column[0]), column[number]) for column in columns], num_names)


def _width(columns: Sequence[Sequence[str | Text]]) -> int:
    return sum(max(cell_len(str(cell)) for cell in column) + _GAP for column in columns)


def show_json(value: Any) -> None:
    """Show a value as JSON alone, for a program."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_text(text: str, indent: str = "") -> None:
    """Show a paragraph, wrapped at the terminal's width between words."""
    typer.echo(wrapped(text, indent))


def wrapped(text: str, indent: str = "", hanging: str = "") -> str:
    """Return a paragraph wrapped at the terminal's width between words; a longer word keeps a line to itself.

    Args:
        text: The paragraph.
        indent: Before each line.
        hanging: Between that and each line but the first.
    """
    return textwrap.fill(
        text,
        terminal_width(),
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _show_record(cells: Sequence[tuple[str, str | Text]], num_names: int) -> None:
    names = [Text(cell) if isinstance(cell, str) else cell for _, cell in cells[:num_names]]
    _console(None).print(Text("  ").join(names), soft_wrap=True)
    if text := "; ".join(f"{heading}: {cell}" for heading, cell in cells[num_names:] if str(cell)):
        show_text(text, "    ")


def _console(width: int | None) -> Console:
    """Return a console that prints names of files as they are: rich would take `[red]` in them for its own markup."""
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
