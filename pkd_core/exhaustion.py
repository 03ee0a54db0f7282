"""Memory and file handles that run out, told as one sentence that says what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from pkd_core.errors import PkdError, ResourceError

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


class Lack(Enum):
    """What ran out, with what to do about it."""

    MEMORY = (
        "memory",
        "end other programs, raise the limit (ulimit -v) or train in smaller parts (accumulation_steps)",
    )
    HANDLES = ("file handles", "raise the limit of open files (ulimit -n)")


@contextmanager
def exhaustion(what: str) -> Iterator[None]:
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
        lack = lack_behind(error)
        if lack is None:
            raise
        name, advice = lack.value
        raise ResourceError(
            f"{what} needs more {name} than this process gets: {advice} and run again (what is finished is kept)."
        ) from error


def lack_behind(error: BaseException) -> Lack | None:
    """Return what ran out if that is what an error, or one that it came from, tells of."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        number = cause.errno if isinstance(cause, OSError) else None
        # A sentence of ours may quote the user's own words; what it was made from is told apart.
        message = "" if isinstance(cause, PkdError) else str(cause)
        if isinstance(cause, MemoryError) or number == errno.ENOMEM or _holds(message, _MEMORY_WORDS):
            return Lack.MEMORY
        if number in _HANDLE_ERRNOS or _holds(message, _HANDLE_WORDS):
            return Lack.HANDLES
        cause = cause.__cause__ or (None if isinstance(cause, PkdError) else cause.__context__)
    return None


def _holds(message: str, words: tuple[str, ...]) -> bool:
    return any(word in message for word in words)
