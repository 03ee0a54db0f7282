"""Answers texts a batch at a time, writes the answers as they come, and shows how far it is."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.answer_lines import AnsweredRow, Form, Lines
from pkd_core.data.texts import Texts
from pkd_core.evaluation.text_answers import TextModel, answer
from pkd_core.runtime.progress import clock, rounded
from pkd_core.store.atomic import atomic_file
from pkd_core.store.os_errors import file_errors

# At most; batches are sorted by length inside, and one is in memory at a time.
_ROWS_PER_BATCH = 1024
_SECONDS_BETWEEN_LINES = 30.0

Batches = Iterator[Sequence[AnsweredRow]]


def answered(model: TextModel, texts: Texts) -> Batches:
    """Yield the examples with their answers, in batches: of a stream, those examples that are there.

    Raises:
        DataError: The next batch has an example without a text.
    """
    while rows := texts.take(_ROWS_PER_BATCH):
        yield list(zip(rows, answer(model, texts.of(rows)), strict=True))


def write_file(output: Path, lines: Lines, form: Form, batches: Batches) -> int:
    """Write all answers or, where anything fails or stops it, no file; return their number.

    Raises:
        StoreError: The file cannot be written.
    """
    num_rows = 0
    with (
        file_errors("write", output),
        _showing_progress() as show,
        atomic_file(output, has_concurrent_writers=True) as file,
    ):
        file.write(form(lines, None).encode())
        for batch in batches:
            file.write(form(lines, batch).encode())
            num_rows += len(batch)
            show(num_rows)
    return num_rows


def write_stream(stream: IO[str], lines: Lines, form: Form, batches: Batches) -> None:
    """Write the answers to a pipe or a file that somebody else has opened, each batch as soon as it is there."""
    num_rows = 0
    try:
        with _showing_progress() as show:
            stream.write(form(lines, None))
            for batch in batches:
                stream.write(form(lines, batch))
                stream.flush()
                num_rows += len(batch)
                show(num_rows)
    except BrokenPipeError:
        # Who reads has enough, as `head` has. Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_table(lines: Lines, batches: Batches) -> None:
    """Show the answers on a terminal: as a table if they are few, else as lines of TSV."""
    first, second = next(batches), next(batches, None)
    if second is not None:
        typer.echo(lines.tsv(None), nl=False)
        for batch in itertools.chain([first, second], batches):
            typer.echo(lines.tsv(batch), nl=False)
        return
    table = Table(*lines.columns, box=None, pad_edge=False)
    for name in lines.names:
        table.add_column(name, no_wrap=name not in ("labels", "probabilities"))
    for row in lines.shown(first):
        table.add_row(*row)
    Console(markup=False, emoji=False, highlight=False).print(table)


@contextmanager
def ending_as_by_ctrl_c() -> Iterator[None]:
    """End the body by KeyboardInterrupt when SIGTERM comes too, so that no unfinished file stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _showing_progress() -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many texts are done: a live line on a terminal, else a line now and then."""
    console = Console(stderr=True, markup=False, highlight=False)
    start = time.monotonic()
    if console.is_terminal and not sys.stdout.isatty():
        with console.status("loading the first texts") as status:
            yield lambda num_rows: status.update(_described(num_rows, time.monotonic() - start))
        return
    shown = start

    def show(num_rows: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            typer.echo(_described(num_rows, now - start), err=True)

    yield show


def _described(num_rows: int, seconds: float) -> str:
    return f"{num_rows:,} texts, {rounded(num_rows / max(seconds, 1e-9))} texts/s, {clock(seconds)}"
