"""Errors of the operating system as one sentence that says what to do: files and disks, memory, file handles."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from pkd_core.errors import PkdError, ResourceError, StoreError

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
_HANDLE_ERRNOS = (errno.EMFILE, errno.ENFILE)
# Libraries written in C++ and Rust tell of it in words alone.
_HANDLE_WORDS = ("Too many open files", "(os error 24)")
_MEMORY_WORDS = (
    "allocate memory",
    "out of memory",
    "std::bad_alloc",
    "failed to map segment",
    "can't start new thread",
    "could not create a primitive",
)


@contextmanager
def file_errors(need: str, path: Path) -> Iterator[None]:
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
def disk_errors(need: str, path: Path) -> Iterator[None]:
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


def check_disk_space(folder: Path, num_bytes: int, purpose: str, advice: str = "free some") -> None:
    """Check, before hours are spent, that a number of bytes will fit.

    Args:
        folder: Where they will be written.
        num_bytes: How many.
        purpose: What they are, such as "teacher states".
        advice: What to do if they do not fit.

    Raises:
        StoreError: If they will not.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise StoreError(
            f"{folder}: expected {_shown(num_bytes)} of free disk for {purpose}, got {_shown(free)}; {advice}"
        )


def _shown(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.2f} MB"


class Shortage(Enum):
    """What ran out, with what to do about it."""

    MEMORY = (
        "memory",
        "end other programs, raise the limit (ulimit -v) or train in smaller parts (accumulation_steps)",
    )
    HANDLES = ("file handles", "raise the limit of open files (ulimit -n)")


@contextmanager
def resource_errors(what: str) -> Iterator[None]:
    """Turn the body's errors into a ResourceError where too little memory or too few file handles caused them.

    That goes before what a sentence made of them on the way: a model that cannot be opened need not be fetched again.

    Args:
        what: What the body makes, such as "RTE/teacher".

    Raises:
        ResourceError: Saying what ran out and what to do.
    """
    try:
        yield
    except ResourceError:
        raise
    except Exception as error:
        lack = find_shortage(error)
        if lack is None:
            raise
        name, advice = lack.value
        raise ResourceError(
            f"{what} needs more {name} than this process gets: {advice} and run again (what is finished is kept)."
        ) from error


def find_shortage(error: BaseException) -> Shortage | None:
    """Return what ran out if that is what an error, or one that it came from, tells of."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        number = cause.errno if isinstance(cause, OSError) else None
        # A sentence of ours may quote the user's own words; what it was made from is told apart.
        message = "" if isinstance(cause, PkdError) else str(cause)
        if isinstance(cause, MemoryError) or number == errno.ENOMEM or _holds(message, _MEMORY_WORDS):
            return Shortage.MEMORY
        if number in _HANDLE_ERRNOS or _holds(message, _HANDLE_WORDS):
            return Shortage.HANDLES
        cause = cause.__cause__ or (None if isinstance(cause, PkdError) else cause.__context__)
    return None


def _holds(message: str, words: tuple[str, ...]) -> bool:
    return any(word in message for word in words)
