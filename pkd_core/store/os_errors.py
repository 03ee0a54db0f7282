"""Errors of the operating system in one sentence with advice: files and disks, memory, file handles."""

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
_UNBLOCK = "move away the file that is where a folder is needed"
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
# A disk's answers to a write; other errors are the stage's own.
_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_HANDLE_ERRNOS = (errno.EMFILE, errno.ENFILE)
# Libraries written in Rust (safetensors, tokenizers) put the error number into the message of an untyped error.
_RUST_ERRNO = re.compile(r"\(os error (\d+)\)")
# Parts of messages of errors that have neither a type nor a number. Each was provoked in the library named; only CUDA's
# is taken from its documentation. The others (numpy, sqlite3, most of pyarrow) raise MemoryError or have an errno.
_MEMORY_MESSAGES = (
    "allocate memory",  # RuntimeError of torch's CPU allocator, OSError of pyarrow's memory maps
    "std::bad_alloc",  # RuntimeError of torch's bindings
    "could not create a primitive",  # RuntimeError of oneDNN within torch
    "out of memory",  # torch on CUDA; its type, torch.OutOfMemoryError, would need torch to be imported here
    "failed to map segment",  # ImportError of the dynamic loader
    "can't start new thread",  # RuntimeError of CPython
)
_HANDLE_MESSAGES = ("Too many open files",)  # OSError of the dynamic loader


@contextmanager
def file_errors(need: str, path: Path) -> Iterator[None]:
    """Turn any OSError of the body into a StoreError.

    Args:
        need: What the body needs to do, such as "publish".
        path: The file or folder concerned.

    Raises:
        StoreError: With what was needed, the system's answer, and what to do.
    """
    try:
        yield
    except OSError as error:
        raise _store_error(need, path, error.errno, str(error)) from error


@contextmanager
def disk_errors(need: str, path: Path) -> Iterator[None]:
    """Turn the body's errors into a StoreError where the disk is their cause; other errors pass.

    Args:
        need: What the body needs to do, such as "write".
        path: The folder that the body writes to.

    Raises:
        StoreError: If the disk is full, over quota, read-only or broken.
    """
    try:
        yield
    except Exception as error:
        number = _errno(error)
        if number not in _DISK_ERRNOS:
            raise
        raise _store_error(need, path, number, str(error)) from error


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _RUST_ERRNO.search(str(error))
    return int(match[1]) if match else None


def _store_error(need: str, path: Path, number: int | None, message: str) -> StoreError:
    answer = os.strerror(number) if number else message
    advice = _ADVICE.get(number or 0, "check the disk and run again")
    return StoreError(f"pkd needs to {need} {path}, but the system answers '{answer}': {advice}.")


def check_disk_space(folder: Path, num_bytes: int, purpose: str, advice: str = "free some") -> None:
    """Check that a number of bytes will fit, before a long computation starts.

    Args:
        folder: Where they will be written.
        num_bytes: How many.
        purpose: What they are, such as "teacher states".
        advice: What to do if they do not fit.

    Raises:
        StoreError: If they do not fit.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise StoreError(
            f"{folder}: expected {_format_bytes(num_bytes)} of free disk for {purpose}, got {_format_bytes(free)};"
            f" {advice}"
        )


def _format_bytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.2f} MB"


class Shortage(Enum):
    """A resource that a process ran out of: its name, and what to do."""

    MEMORY = (
        "memory",
        "end other programs, raise the limit (ulimit -v) or train in smaller parts (accumulation_steps)",
    )
    HANDLES = ("file handles", "raise the limit of open files (ulimit -n)")


@contextmanager
def resource_errors(purpose: str) -> Iterator[None]:
    """Turn the body's errors into a ResourceError where too little memory or too few file handles caused them.

    This replaces a PkdError that was raised on the way: a model that could not be opened is not broken.

    Args:
        purpose: What the body builds, such as "RTE/teacher".

    Raises:
        ResourceError: With the resource that ran out and what to do.
    """
    try:
        yield
    except ResourceError:
        raise
    except Exception as error:
        shortage = find_shortage(error)
        if shortage is None:
            raise
        name, advice = shortage.value
        raise ResourceError(
            f"{purpose} needs more {name} than this process gets: {advice} and run again (what is finished is kept)."
        ) from error


def find_shortage(error: BaseException) -> Shortage | None:
    """Return the resource that ran out if that caused an error, or one of the errors that led to it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        # A PkdError may quote the user's own words; only its cause counts.
        is_ours = isinstance(cause, PkdError)
        shortage = None if is_ours else _shortage(cause)
        if shortage is not None:
            return shortage
        cause = cause.__cause__ or (None if is_ours else cause.__context__)
    return None


def _shortage(error: BaseException) -> Shortage | None:
    number, message = _errno(error), str(error)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _has_any(message, _MEMORY_MESSAGES):
        return Shortage.MEMORY
    if number in _HANDLE_ERRNOS or _has_any(message, _HANDLE_MESSAGES):
        return Shortage.HANDLES
    return None


def _has_any(message: str, parts: tuple[str, ...]) -> bool:
    return any(part in message for part in parts)
