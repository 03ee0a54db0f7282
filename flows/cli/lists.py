"""Lists as they are typed: values between commas, numbers also as ranges."""

import re

from pkd_core.errors import ConfigError, quoted

_RANGE = re.compile(r"(\d{1,19})-(\d{1,19})")
# More seeds or depths than any run may have.
_MAX_NUMBERS = 1000


def split_list(text: str) -> list[str]:
    """Return the values between commas, without the spaces around them.

    >>> split_list("kd, finetune")
    ['kd', 'finetune']
    """
    return [part.strip() for part in text.split(",")]


def split_numbers(text: str) -> list[str]:
    """Return the values between commas, with ranges written out; what is no number is returned as it is.

    >>> split_numbers("1-3, 7")
    ['1', '2', '3', '7']

    Raises:
        ConfigError: A range goes down, or is too long.
    """
    numbers: list[str] = []
    for part in split_list(text):
        match = _RANGE.fullmatch(part)
        if match is None:
            numbers.append(part)
            continue
        first, last = map(int, match.groups())
        if last < first:
            raise ConfigError(f"expected a range from a smaller to a larger number, got {quoted(part)}.")
        if last - first >= _MAX_NUMBERS:
            raise ConfigError(f"expected a range of at most {_MAX_NUMBERS} numbers, got {quoted(part)}.")
        numbers += map(str, range(first, last + 1))
    return numbers
