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
_GAP = 1


def terminal_width() -> int:
    """Return the terminal's columns; very many where the output is a file or a pipe."""
    console = _console(None)
    return console.width if console.is_terminal else _UNLIMITED


def show_rows(
    headings: Sequence[str], rows: Sequence[Sequence[str | Text]], num_names: int, right: Sequence[str] = ()
) -> None:
    """Show rows, as wide as they are; where the terminal is narrower, each as its names and, below them, the rest.

    Args:
        headings: One for each column.
        rows: One cell for each heading.
        num_names: How many of the first columns name a row.
        right: Headings of the columns to align at the right.
    """
    columns = list(zip(headings, *rows, strict=True))
    width = sum(max(cell_len(str(cell)) for cell in column) + _GAP for column in columns)
    if width <= terminal_width():
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        for heading in headings:
            table.add_column(heading, no_wrap=True, justify="right" if heading in right else "left")
        for row in rows:
            table.add_row(*row)
        _console(width).print(table)
    else:
        for row in rows:
            _show_record(headings, row, num_names)


def show_json(value: Any) -> None:
    """Show a value as JSON alone, for a program."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_text(text: str, indent: str = "") -> None:
    """Show a paragraph, wrapped at the terminal's width between words."""
    typer.echo(wrapped(text, indent))


def wrapped(text: str, indent: str = "") -> str:
    """Return a paragraph wrapped at the terminal's width between words; a longer word keeps a line to itself."""
    return textwrap.fill(
        text,
        terminal_width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _show_record(headings: Sequence[str], row: Sequence[str | Text], num_names: int) -> None:
    line = Text("  ").join(Text(cell) if isinstance(cell, str) else cell for cell in row[:num_names])
    _console(None).print(line, soft_wrap=True)
    rest = zip(headings[num_names:], row[num_names:], strict=True)
    text = "; ".join(f"{heading} {cell}" for heading, cell in rest if str(cell))
    if text:
        show_text(text, "    ")


def _console(width: int | None) -> Console:
    """Return a console that prints names of files as they are: rich would take `[red]` in them for its own markup."""
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
