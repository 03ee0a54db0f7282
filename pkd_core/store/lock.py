"""One writer at a time: a lock which the kernel frees when its holder dies."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from pkd_core.errors import HeldError
from pkd_core.store.os_errors import file_errors

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN = 0.05


@contextmanager
def exclusive(paths: Sequence[Path], purpose: str, wait: bool = True) -> Iterator[None]:
    """Hold one of the locks while the body runs, whichever is free first.

    Args:
        paths: The locks without their suffix: `<path>.lock` is locked, `<path>.holder` tells who holds it.
        purpose: What it is for, as the waiter's log line says it, such as "RTE teacher".
        wait: Whether to wait as long as other processes or threads hold all of them.

    Raises:
        HeldError: If others hold all of them, and `wait` is false.
        StoreError: If a lock file cannot be made.
    """
    with file_errors("lock", paths[0]):
        path, lock = _acquire(paths, purpose, wait)
    holder = _holder(path)
    try:
        with file_errors("write", holder):
            _write_holder(holder)
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def _acquire(paths: Sequence[Path], purpose: str, wait: bool) -> tuple[Path, BaseFileLock]:
    locks = [(path, FileLock(path.with_name(path.name + ".lock"))) for path in paths]
    has_told = False
    while True:
        for path, lock in locks:
            with suppress(Timeout):
                lock.acquire(blocking=False)
                return path, lock
        if not wait:
            raise HeldError(f"{purpose} needs its lock, and {_read_holder(_holder(paths[0]))} holds it.")
        if not has_told:
            holders = " or ".join(_read_holder(_holder(path)) for path in paths)
            logger.info("%s: waits for %s", purpose, holders)
            has_told = True
        time.sleep(_SECONDS_BETWEEN)


def _holder(path: Path) -> Path:
    return path.with_name(path.name + ".holder")


def _write_holder(path: Path) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    path.write_text(
        json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}), encoding="utf-8"
    )


def _read_holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return f"process {note['pid']} on {note['host']} (since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        # The note is a courtesy: it may be half-written, or its writer may have died before writing it.
        return "another process"
