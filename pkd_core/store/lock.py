"""Locks between processes and threads. The kernel frees a lock when its holder dies."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from pkd_core.errors import HeldError
from pkd_core.store.os_errors import file_errors

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_TRIES = 0.05
_SECONDS_BEFORE_LOG = 0.5  # a shorter wait concerns nobody


@contextmanager
def hold(lock_file: Path, purpose: str, wait: bool = True) -> Iterator[None]:
    """Hold a lock while the body runs.

    Args:
        lock_file: What to lock; beside the held `x.lock`, the file `x.holder` describes its holder.
        purpose: What the lock is for, such as "RTE teacher"; it appears in the log while waiting.
        wait: Whether to wait while another process or thread holds it.

    Raises:
        HeldError: If another holds it, and `wait` is false.
        StoreError: If the lock file cannot be created.
    """
    with file_errors("lock", lock_file):
        lock = _acquire(lock_file, purpose, wait)
    holder_file = _holder_file(lock_file)
    try:
        # It only informs those who wait: locking must work on a full disk, where `pkd clean` makes space.
        with suppress(OSError):
            _write_holder(holder_file)
        yield
    finally:
        with suppress(OSError):
            holder_file.unlink()
        lock.release()


def is_locked(lock_file: Path) -> bool:
    """Return whether a living process or thread holds a lock; an absent lock file is not created.

    Raises:
        StoreError: If the lock file cannot be opened.
    """
    with file_errors("lock", lock_file):
        if not lock_file.exists():
            return False
        lock = _try_to_acquire(lock_file)
        if lock is None:
            return True
        lock.release()
        return False


def _acquire(lock_file: Path, purpose: str, wait: bool) -> BaseFileLock:
    has_logged, began = False, time.monotonic()
    while True:
        if lock := _try_to_acquire(lock_file):
            return lock
        holder = _read_holder(_holder_file(lock_file))
        if not wait:
            raise HeldError(f"{purpose} needs a lock that {holder} holds; run again when that one has ended.")
        if not has_logged and time.monotonic() - began >= _SECONDS_BEFORE_LOG:
            logger.info("%s: waits for %s", purpose, holder)
            has_logged = True
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _try_to_acquire(lock_file: Path) -> BaseFileLock | None:
    lock = FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def _holder_file(lock_file: Path) -> Path:
    return lock_file.with_suffix(".holder")


def _write_holder(path: Path) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(holder), encoding="utf-8")


def _read_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        # It may be half-written, or its writer may have died before writing it.
        return "another process"
