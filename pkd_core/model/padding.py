"""Examples as the forward of transformers takes them: padded, with an attention mask."""

from collections.abc import Sequence

import numpy as np
import torch

from pkd_core.data.token_table import TokenTable


def pad_examples(
    table: TokenTable, rows: Sequence[int], length: int | None = None
) -> dict[str, torch.Tensor]:
    """Return rows of a table as keyword arguments of a transformers model, int64 of shape (batch, length).

    >>> table = TokenTable(
    ...     example_ids_R=np.array([7, 8]),
    ...     offsets=np.array([0, 3, 8]),
    ...     input_ids=np.array([2, 30, 3, 2, 40, 3, 41, 3]),
    ...     second_starts_R=np.array([3, 3]),
    ...     labels_R=None,
    ... )
    >>> for name, values in pad_examples(table, [0, 1]).items():
    ...     print(name, values.tolist())
    input_ids [[2, 30, 3, 0, 0], [2, 40, 3, 41, 3]]
    token_type_ids [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]
    attention_mask [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]

    Args:
        table: The split.
        rows: The rows, in the order of the result.
        length: At least the longest row's length; that length by default.
    """
    width = length or int(table.lengths[list(rows)].max())
    inputs = np.zeros((3, len(rows), width), dtype=np.int64)
    for position, row in enumerate(rows):
        tokens = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        inputs[0, position, : len(tokens)] = tokens
        inputs[1, position, table.second_starts_R[row] : len(tokens)] = 1
        inputs[2, position, : len(tokens)] = 1
    names = ("input_ids", "token_type_ids", "attention_mask")
    return {name: torch.from_numpy(values) for name, values in zip(names, inputs, strict=True)}
