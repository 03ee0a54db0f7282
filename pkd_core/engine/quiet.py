"""Keeps transformers' progress bars, and its report of absent weights, off the terminal."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as transformers_logging

# Its functions carry no types.
_logging: Any = transformers_logging
_lock = threading.Lock()
# One entry a body that is running; what they change belongs to the whole process.
_inside: list[None] = []
_before: dict[str, Any] = {}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers for as long as the body runs, in this thread or in several at once."""
    with _lock:
        if not _inside:
            _before["verbosity"] = _logging.get_verbosity()
            _before["shows_bars"] = _logging.is_progress_bar_enabled()
            _logging.set_verbosity_error()
            _logging.disable_progress_bar()
        _inside.append(None)
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if not _inside:
                _logging.set_verbosity(_before["verbosity"])
                if _before["shows_bars"]:
                    _logging.enable_progress_bar()
