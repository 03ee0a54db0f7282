"""What is seen of a run while it runs: live bars on a terminal, lines in a file, a pipe or a CI job."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.live import Live

from flows.cli.bars import Bars
from flows.cli.log_lines import Amount, LogLines, printing_log
from flows.stopping import closing_before_end
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.runtime.progress import Progress, clock

logger = logging.getLogger(__name__)


class _BarObserver:
    """Updates the progress of a bar, and lets Prefect's page have the log lines as well."""

    def __init__(self, key: str, progress: Progress) -> None:
        self._progress = progress
        self._log = LogObserver(key)
        self._since = time.monotonic()
        self._has_begun = False

    @property
    def seconds(self) -> float:
        """The time since the first report of progress, as a stage may have waited for the device before."""
        return time.monotonic() - self._since

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._progress.add_metrics(values)
        self._log.metrics(step, values)

    def progress(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if not self._has_begun:
            self._has_begun, self._since = True, now
        self._progress.update(done, total, unit, now)
        self._log.progress(done, total, unit)

    def flush(self) -> None:
        """Do nothing: nothing is kept."""


class RunView:
    """Shows a run: what it waits for, its stages, and its messages.

    Args:
        amount: How much is written besides results and errors.
    """

    def __init__(self, amount: Amount) -> None:
        self._amount = amount
        self._bars = Bars()

    def message(self, text: str) -> None:
        """Print a message, unless only results are wanted."""
        if self._amount is not Amount.QUIET:
            # Named, since typer would keep the stream from before the bars, which print what comes here above them.
            typer.echo(text, file=sys.stdout)

    def begin(self, num_stages: int, done: Iterable[str]) -> None:
        """Take the number of the plan's stages, and the keys of those that are done."""
        self._bars.num_stages, self._bars.done = num_stages, set(done)
        self._bars.waiting_for = "starting the first stage"

    @contextmanager
    def waiting(self, purpose: str) -> Iterator[None]:
        """Show beside the bars what is being waited for while the body runs, such as "planning"."""
        before, self._bars.waiting_for = self._bars.waiting_for, purpose
        try:
            yield
        finally:
            self._bars.waiting_for = before

    @contextmanager
    def stage(self, key: str) -> Iterator[Observer]:
        """Show a stage while it is being built, and then how it ended."""
        self._bars.waiting_for = ""
        progress = self._bars.running[key] = Progress()
        observer = _BarObserver(key, progress)
        try:
            yield observer
        except Exception as error:
            self._bars.failed.add(key)
            logger.info("%s: failed after %s: %s", key, clock(observer.seconds), error)
            raise
        finally:
            del self._bars.running[key]
        if key in self._bars.done:
            return  # only looked up again
        self._bars.done.add(key)
        score = f", dev {progress.metric} {100 * progress.score:.1f}" if progress.score is not None else ""
        counts = f"{len(self._bars.done)} of {self._bars.num_stages} stages"
        logger.info("%s: done in %s%s (%s)", key, clock(observer.seconds), score, counts)


@contextmanager
def viewing_run(amount: Amount) -> Iterator[RunView]:
    """Show a run while the body runs: with bars on a terminal, unless only results and errors are wanted."""
    console = Console(stderr=True)
    has_bars = amount is not Amount.QUIET and _can_show_bars(console)
    view = RunView(amount)
    with printing_log(LogLines(console, amount, has_bars), amount):
        if not has_bars:
            yield view
            return
        # Where results go to a file, only what is written to the terminal goes above the bars.
        live = Live(view._bars, console=console, transient=True, redirect_stdout=sys.stdout.isatty())
        with closing_before_end(live.stop), live:
            console.show_cursor(True)  # a killed process could not show it again
            yield view


def _can_show_bars(console: Console) -> bool:
    return sys.stderr.isatty() and not console.is_dumb_terminal and not os.environ.get("CI")
