"""One writer at a time: a lock which the kernel frees when its holder dies."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from pkd_core.store.faults import file_faults

logger = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock while the body runs; wait for it as long as another process or thread holds it.

    Args:
        path: The lock without its suffix: `<path>.lock` is locked, `<path>.holder` tells who holds it.
        purpose: What the lock is for, as the waiter's log line says it, such as "RTE teacher".

    Raises:
        StoreError: If the lock file cannot be made.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    holder = path.with_name(path.name + ".holder")
    with file_faults("lock", path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            logger.info("%s: waits for %s, which is making it", purpose, _read_holder(holder))
            lock.acquire()
    try:
        with file_faults("write", holder):
            _write_holder(holder)
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


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
