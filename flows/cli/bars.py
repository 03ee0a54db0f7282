"""The live lines of a run on a terminal: a bar for each running stage, and how much of the run is done."""

import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from pkd_core.runtime.progress import Progress, clock, rounded

# Below these widths of the terminal a line leaves out its bar and its rate, and then its loss.
_WIDTH_FOR_BAR = 76
_WIDTH_FOR_LOSS = 52
_LONGEST_KEY = 34
_LEAST_BAR = 8
_LONGEST_BAR = 30


class Bars:
    """What is shown now, as rich renders it some times a second.

    Attributes:
        running: The progress of each running stage, by its key.
        num_stages: Stages of the run; 0 until it is planned.
        done: Keys of those that are done.
        failed: Keys of those that failed.
        waiting_for: What the run waits for, such as "planning", or nothing.
    """

    def __init__(self) -> None:
        self.running: dict[str, Progress] = {}
        self.num_stages = 0
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.waiting_for = ""
        self._since = time.monotonic()
        self._spinner: Spinner | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a table of the running stages, and a line about the whole run."""
        width = options.max_width - 1  # some terminals begin a new line after the last column
        # A copy: stages begin and end in other threads.
        running = [(key, one) for key, one in self.running.copy().items() if one.total]
        if running:
            yield _table(running, width)
        if self._spinner is None:
            self._spinner = Spinner("line" if options.ascii_only else "dots")
        self._spinner.update(text=self._summary()[: width - 2])
        yield self._spinner

    def _summary(self) -> str:
        parts = [f"{len(self.done)} of {self.num_stages} stages"] if self.num_stages else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [self.waiting_for] if self.waiting_for else []
        return ", ".join([*parts, clock(time.monotonic() - self._since)])


def _table(running: list[tuple[str, Progress]], width: int) -> Table:
    columns = _columns(width)
    room = width - sum(1 + column for column, _ in columns)
    has_bar = width >= _WIDTH_FOR_BAR
    longest = max(len(key) for key, _ in running)
    key_width = min(longest, _LONGEST_KEY, room - _LEAST_BAR - 1 if has_bar else room)
    bar_width = min(room - key_width - 1, _LONGEST_BAR)
    table = Table.grid(padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True, width=key_width)
    if has_bar:
        table.add_column(width=bar_width)
    for column, _ in columns:
        table.add_column(no_wrap=True, justify="right", width=column)
    for key, one in running:
        bar = [ProgressBar(one.total, one.done, width=bar_width)] if has_bar else []
        table.add_row(_shortened(key, key_width), *bar, *(show(one) for _, show in columns))
    return table


def _columns(width: int) -> list[tuple[int, Callable[[Progress], str]]]:
    """Return the width of each column of text on a terminal of so many columns, and what it shows of a stage."""
    columns = [(5, _percent)]
    if width >= _WIDTH_FOR_BAR:
        columns.append((7, _rate))
    columns.append((12, _left))
    if width >= _WIDTH_FOR_LOSS:
        columns.append((10, _loss))
    return [*columns, (9, _score)]


def _percent(one: Progress) -> str:
    return f"{100 * one.fraction:.0f} %"


def _rate(one: Progress) -> str:
    return f"{rounded(one.rate)}/s" if one.rate else ""


def _left(one: Progress) -> str:
    return f"{clock(one.seconds_left)} left" if one.seconds_left is not None else ""


def _loss(one: Progress) -> str:
    return f"loss {one.loss:.3g}" if one.loss is not None else ""


def _score(one: Progress) -> str:
    return f"dev {100 * one.score:.1f}" if one.score is not None else ""


def _shortened(key: str, width: int) -> str:
    """Return a key without its middle, where it is too long: the ends tell stages apart."""
    if len(key) <= width:
        return key
    start = (width - 2) // 2
    return f"{key[:start]}..{key[len(key) - (width - 2 - start) :]}"
