"""Examples as transformers' own forward wants them: padded, with a mask."""

from collections.abc import Sequence

import numpy as np
import torch

from pkd_core.data.token_table import TokenTable


def pad_examples(
    table: TokenTable, rows: Sequence[int], length: int | None = None
) -> dict[str, torch.Tensor]:
    """Return rows of a table under the names that transformers gives its inputs, each int64 of shape (B, L).

    Args:
        table: The split.
        rows: The rows, in the order wanted.
        length: L, at least the longest row's length; that length by default.
    """
    width = length or int(table.lengths[list(rows)].max())
    inputs = np.zeros((3, len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        tokens = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        inputs[0, place, : len(tokens)] = tokens
        inputs[1, place, table.second_starts_R[row] : len(tokens)] = 1
        inputs[2, place, : len(tokens)] = 1
    names = ("input_ids", "token_type_ids", "attention_mask")
    return {name: torch.from_numpy(values) for name, values in zip(names, inputs, strict=True)}
