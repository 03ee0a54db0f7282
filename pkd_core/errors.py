"""Errors that a user can fix; each message states what was needed, what was got, and what to do.

Messages quote what a user wrote, which may be of any length: `quoted`, `shortened` and `listed` keep them readable.
"""

import reprlib
from collections.abc import Collection
from itertools import islice

_MAX_LENGTH = 60
_MAX_NAMES = 10
_MAX_REASON = 400
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = _MAX_LENGTH


def quoted(value: object) -> str:
    """Return a value as Python writes it, shortened in the middle.

    >>> quoted("it"), quoted([[[[1], 2]], 3])
    ("'it'", '[[[...]], 3]')
    """
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to write a number of more than 4300 digits
        return "a number that is too long to be shown"


def shortened(text: str, max_length: int = _MAX_LENGTH) -> str:
    """Return a text of at most `max_length` characters, shortened in the middle.

    >>> shortened("abcdefghijkl", 9)
    'abc...jkl'
    """
    half = (max_length - 3) // 2
    return text if len(text) <= max_length else f"{text[:half]}...{text[-half:]}"


def listed(names: Collection[object]) -> str:
    """Return names separated by commas: the first ones, each shortened, and how many more there are.

    >>> listed(range(1000))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more'
    """
    shown = ", ".join(shortened(str(name)) for name in islice(names, _MAX_NAMES))
    return shown if len(names) <= _MAX_NAMES else f"{shown} and {len(names) - _MAX_NAMES} more"


def reason(error: BaseException) -> str:
    """Return a library's message in one line, shortened: it may quote a whole file."""
    return shortened(" ".join(str(error).split()), _MAX_REASON)


class PkdError(Exception):
    """An error whose cause is outside the program; the command line shows its sentence without a traceback."""


class ConfigError(PkdError):
    """A setting that is unknown, out of range, or in conflict with another."""


class DataError(PkdError):
    """A data file that is absent or not in the expected format."""


class ModelError(PkdError):
    """A model folder or hub name that cannot be used."""


class StoreError(PkdError):
    """A stage's files are absent or damaged, or cannot be written."""


class DamagedError(StoreError):
    """A published file with other bytes than were published."""


class HeldError(StoreError):
    """A lock that another process or thread holds."""


class LostError(StoreError):
    """A lease that another process has taken over."""


class TrainingError(PkdError):
    """A training that cannot continue, such as one whose loss is not finite."""


class LostProcessError(PkdError):
    """One of several processes that compute a stage together has ended early, or does not answer."""


class ResourceError(PkdError):
    """A limit of the process, such as memory or open files, that is too low."""
