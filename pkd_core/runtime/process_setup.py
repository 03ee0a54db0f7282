"""What belongs to the whole process: the C library's allocator, and how much transformers writes."""

import ctypes
import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_BYTES = 1 << 30

_lock = threading.Lock()
# One entry a body that is running; what they change belongs to the whole process.
_inside: list[None] = []
_before: dict[str, Any] = {}


def keep_freed_memory() -> None:
    """Let blocks of up to 1 GiB be reused instead of unmapped; does nothing where the C library is not glibc.

    A batch frees what the next one allocates, and every page that comes fresh from the kernel is cleared first: 10 to
    20 % of a small student's step on a CPU, and of extraction. All threads get one heap, for those of their own hold
    64 MB at most and are unmapped when empty; threads that have one already keep it, so the earlier this is called,
    the better.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _BYTES)
        mallopt(_M_TRIM_THRESHOLD, _BYTES)
        mallopt(_M_ARENA_MAX, 1)


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Silence transformers for as long as the body runs, in this thread or in several at once."""
    # Its functions carry no types.
    _logging: Any = importlib.import_module("transformers.utils.logging")
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
