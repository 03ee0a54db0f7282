"""The truncation rule of the authors' code, which differs from Hugging Face's where both texts are long.

Both remove tokens one by one from the end of the longer text. Of two texts that are equally long, the authors' code
shortens the second, and Hugging Face's tokenizers the first.
"""

from dataclasses import dataclass
from typing import Literal

from tokenizers import Encoding

# Which text keeps one token more where both are cut to half of an odd number.
Truncation = Literal["second-text-longer", "first-text-longer"]

_NUM_SPECIAL = 3  # [CLS] first [SEP] second [SEP]


def kept_tokens(num_first: int, num_second: int, limit: int) -> tuple[int, int]:
    """Return how many tokens of each text remain.

    >>> kept_tokens(200, 100, 125)
    (63, 62)
    >>> kept_tokens(200, 20, 125)
    (105, 20)

    Args:
        num_first: Tokens of the first text.
        num_second: Tokens of the second.
        limit: The most that may remain of both together.
    """
    if num_first + num_second <= limit:
        return num_first, num_second
    half = limit // 2
    if num_second <= half:
        return limit - num_second, num_second
    if num_first <= limit - half:
        return num_first, limit - num_first
    return limit - half, half


@dataclass(frozen=True)
class TruncatedPair:
    """Token ids and segment ids of a truncated pair, as an `Encoding` has them."""

    ids: list[int]
    type_ids: list[int]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


def truncate_first(encoding: Encoding, max_length: int) -> TruncatedPair:
    """Truncate the first text alone of an encoding of two; a second text that fills all is cut at its end.

    Args:
        encoding: "[CLS] first [SEP] second [SEP]", not truncated.
        max_length: The most tokens that may remain, with [CLS] and both [SEP].
    """
    second_start = len(encoding.ids) - sum(encoding.type_ids)
    second = min(len(encoding.ids) - second_start - 1, max_length - _NUM_SPECIAL)
    return _truncated(encoding, min(second_start - 2, max_length - _NUM_SPECIAL - second), second)


def truncate_pair(encoding: Encoding, max_length: int) -> TruncatedPair:
    """Truncate an encoding of two texts.

    Args:
        encoding: "[CLS] first [SEP] second [SEP]", not truncated.
        max_length: The most tokens that may remain, with [CLS] and both [SEP].
    """
    ids = encoding.ids
    second_start = len(ids) - sum(encoding.type_ids)
    num_first, num_second = second_start - 2, len(ids) - second_start - 1
    return _truncated(encoding, *kept_tokens(num_first, num_second, max_length - _NUM_SPECIAL))


def _truncated(encoding: Encoding, first: int, second: int) -> TruncatedPair:
    """Keep so many tokens of each text."""
    ids = encoding.ids
    second_start = len(ids) - sum(encoding.type_ids)
    kept_first = [*ids[: 1 + first], ids[second_start - 1]]
    kept_second = [*ids[second_start : second_start + second], ids[-1]]
    return TruncatedPair(kept_first + kept_second, [0] * len(kept_first) + [1] * len(kept_second))
