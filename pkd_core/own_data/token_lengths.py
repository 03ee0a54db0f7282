"""How long a user's texts are for a model, and how many are cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pkd_core.data.tokenize import text_encoder

_SHARES = (0.5, 0.95, 1.0)
# No text is cut: its characters are more than its tokens.
_UNLIMITED = 1 << 20


@dataclass(frozen=True)
class TokenLengths:
    """Tokens of a sample of texts, with the special ones.

    Attributes:
        quantiles: 0.5, 0.95, and the most.
        num_texts: Texts of the sample.
        num_cut: How many of them are longer than the limit.
        max_length: The limit.
    """

    quantiles: tuple[int, int, int]
    num_texts: int
    num_cut: int
    max_length: int

    @property
    def line(self) -> tuple[str, str]:
        """What a terminal shows: a name and its value."""
        half, many, most = self.quantiles
        shown = f"half have {half} or fewer, 95 % {many} or fewer, the longest {most}"
        if not self.num_cut:
            return "tokens of a text", f"{shown}; at {self.max_length}, none is cut"
        share = 100 * self.num_cut / self.num_texts
        return (
            "tokens of a text",
            f"{shown}; {share:.1f} % are cut at {self.max_length} (tokens.max_length)",
        )


def token_lengths(sample: Sequence[tuple[str, ...]], model: Path, max_length: int) -> TokenLengths:
    """Tokenise a sample of texts with a model's tokenizer.

    Args:
        sample: One or two texts of each example, at least one.
        model: Folder of a model with a fast tokenizer.
        max_length: Tokens kept of an example.

    Raises:
        ModelError: The folder has no usable tokenizer.
    """
    lengths = text_encoder(model, _UNLIMITED)(sample).lengths
    half, many, most = np.quantile(lengths, _SHARES, method="inverted_cdf").tolist()
    return TokenLengths((half, many, most), len(sample), int((lengths > max_length).sum()), max_length)
