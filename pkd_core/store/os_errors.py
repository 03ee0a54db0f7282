"""Faults of the file system, told as one sentence that says what to do."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkd_core.errors import StoreError

_FREE_SPACE = "free some disk space and run again (what is finished is kept)"
_PERMIT = "make it writable for this user, or choose another workspace"
_UNBLOCK = "move away the file that stands where a folder is needed"
_ADVICE = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: _FREE_SPACE,
    errno.EROFS: _PERMIT,
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.ENOTDIR: _UNBLOCK,
    errno.EEXIST: _UNBLOCK,
    errno.ENAMETOOLONG: "choose a shorter path",
}
# What a work folder's disk, and no mistake of the stage itself, can answer to a write.
_DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def file_faults(need: str, path: Path) -> Iterator[None]:
    """Turn any OSError of the body into a StoreError.

    Args:
        need: What the body needs to do, such as "publish".
        path: The file or folder that it does it to.

    Raises:
        StoreError: Saying what was needed, the system's answer, and what to do.
    """
    try:
        yield
    except OSError as error:
        raise _store_error(need, path, error.errno, str(error)) from error


@contextmanager
def disk_faults(need: str, path: Path) -> Iterator[None]:
    """Turn the body's errors into a StoreError where the disk is their cause, and let every other error pass.

    Libraries written in Rust, such as safetensors, put the error number in their message: "(os error 28)".

    Args:
        need: What the body needs to do, such as "write".
        path: The folder that it writes to.

    Raises:
        StoreError: If the disk is full, over quota, read-only or broken.
    """
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _hidden_errno(str(error))
        if number not in _DISK_ERRNOS:
            raise
        raise _store_error(need, path, number, str(error)) from error


def _hidden_errno(message: str) -> int | None:
    found = re.search(r"\(os error (\d+)\)", message)
    return int(found.group(1)) if found else None


def _store_error(need: str, path: Path, number: int | None, message: str) -> StoreError:
    answer = os.strerror(number) if number else message
    advice = _ADVICE.get(number or 0, "check the disk and run again")
    return StoreError(f"pkd needs to {need} {path}, but the system answers '{answer}': {advice}.")
