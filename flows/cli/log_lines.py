"""The log on the terminal or in a file: our own lines, and as much of the libraries' as is wanted."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from rich.console import Console
from rich.text import Text

_OURS = ("pkd_core", "tasks", "flows")
_PROGRESS = "pkd_core.runtime.observer"
# The command line prints the plan by itself.
_PLAN = "flows.pages"
# What they say of a stage that failed, we say ourselves; only a traceback is more.
_STATES = ("prefect.flow_runs", "prefect.task_runs")

_NO_ERROR = (None, None, None)

# Prefect's threads that send the log and events; at the end of a process they say how many are still to be sent.
SENDERS = ("APILogWorker", "EventsWorker")

# One line for each request to Prefect's server.
_REQUESTS = ("httpx",)


class Amount(Enum):
    """How much a run writes besides its results and errors."""

    QUIET = "nothing"
    NORMAL = "our own lines, and the libraries' warnings"
    VERBOSE = "the libraries' log too"


class LogLines(logging.Handler):
    """Prints log lines, above the bars where there are some.

    Args:
        console: Where.
        amount: Which ones.
        has_bars: Whether bars show the stages' progress, so that no line needs to.
    """

    def __init__(self, console: Console, amount: Amount, has_bars: bool) -> None:
        super().__init__()
        self._console = console
        self._amount = amount
        self._has_bars = has_bars
        names = "%(levelname)s %(name)s: " if amount is Amount.VERBOSE else ""
        # Prefect installs its own handler unless it finds one that has a formatter.
        self.setFormatter(logging.Formatter(f"%(asctime)s {names}%(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, unless it is too much."""
        if record.exc_info == _NO_ERROR:
            # Prefect logs a failed state as an error that is being handled, and "NoneType: None" would follow.
            record = copy.copy(record)
            record.exc_info = record.exc_text = None
        if self._is_wanted(record):
            self._console.print(Text(self.format(record)), soft_wrap=not self._console.is_terminal)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        if record.name == _PLAN or (self._has_bars and record.name == _PROGRESS):
            return False
        is_state = _is_from(record, _STATES) and not record.exc_info
        match self._amount:
            case Amount.QUIET:
                return record.levelno >= logging.ERROR and not is_state
            case Amount.NORMAL:
                least = logging.INFO if _is_from(record, _OURS) else logging.WARNING
                return record.levelno >= least and not is_state
            case Amount.VERBOSE:
                return record.levelno >= logging.WARNING or not _is_from(record, _REQUESTS)


def _is_from(record: logging.LogRecord, loggers: tuple[str, ...]) -> bool:
    return any(record.name == name or record.name.startswith(f"{name}.") for name in loggers)


@contextmanager
def printing_log(lines: LogLines, amount: Amount) -> Iterator[None]:
    """Let a handler print this process's log while the body runs, in place of Prefect's own.

    The last line of a run is its result: nothing that Prefect sends after the body is announced.
    """
    root = logging.getLogger()
    replaced = [one for one in root.handlers if type(one).__module__.startswith("prefect.")]
    levels = {root: root.level, **{logging.getLogger(name): logging.getLogger(name).level for name in _OURS}}
    for handler in replaced:
        root.removeHandler(handler)
    root.addHandler(lines)
    if amount is Amount.VERBOSE:
        root.setLevel(logging.INFO)
    for name in SENDERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.removeHandler(lines)
        for handler in replaced:
            root.addHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)
