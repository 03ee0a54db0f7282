"""Packed batches: the tokens of all examples in one row after another, so that almost nothing computed is padding.

Only attention needs examples side by side. For it, `PaddingLayout` maps packed rows to padded groups of examples of
similar length, and back. On a GPU, where launching a kernel costs more than padding, all examples are one group; its
own attention kernel reads packed rows, and needs no more than where each example starts.
Sizes are rounded up so that few distinct shapes occur: the CPU's matrix library prepares, and keeps, buffers for each.

An example may be a group of K sequences (its choices); then what is said of examples here holds for each sequence.

Shapes: B examples, T packed rows (tokens, then filler), P padded rows (examples x length, over all groups), R rows of
a token table, S = B + 2 starts of the examples, of the filler, and of what would follow it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pkd_core.data.token_table import Rows, TokenTable
from pkd_core.runtime.transfer import send

_LEAST_BITS = 6
_LENGTH_MULTIPLE = 16
_GROUP_SIZE = 8
_LONGEST_MULTIPLE = 128
_CPU = torch.device("cpu")

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Consecutive examples of a batch that attention computes together, each padded to `length` rows."""

    num_examples: int
    length: int

    @property
    def num_padded_rows(self) -> int:
        """The group's rows in the padded form."""
        return self.num_examples * self.length


@dataclass(frozen=True)
class PaddingLayout:
    """How the rows of a packed batch (T) correspond to the rows of its padded groups (P).

    Attributes:
        groups: The groups, in the order of the examples.
        num_tokens: Packed rows that hold tokens; the T - num_tokens rows after them, at least one, are filler.
        packed_rows_P: For each padded row, its packed row; the last one, which is filler, where the row is padding.
        padded_rows_T: For each packed row, its padded row; 0 for filler.
        attention_bias_P: Added to a key's attention scores: 0 for a token, minus infinity for padding.
        starts_S: The first packed row of each example and of the filler, and T; int32.
        longest: At least the tokens of the longest example and the rows of the filler; few numbers occur.
    """

    groups: tuple[Group, ...]
    num_tokens: int
    packed_rows_P: torch.Tensor
    padded_rows_T: torch.Tensor
    attention_bias_P: torch.Tensor
    starts_S: torch.Tensor
    longest: int

    def to(self, device: torch.device) -> "PaddingLayout":
        """Return the layout on `device`."""
        return PaddingLayout(
            self.groups,
            self.num_tokens,
            send(self.packed_rows_P, device),
            send(self.padded_rows_T, device),
            send(self.attention_bias_P, device),
            send(self.starts_S, device),
            self.longest,
        )


@dataclass(frozen=True)
class PackedBatch:
    """B examples as T rows, longest example first; integers are int64.

    Attributes:
        input_ids_T: Token ids; 0 for filler.
        token_type_ids_T: 1 for tokens of the second segment, else 0.
        position_ids_T: Each token's position in its example.
        cls_positions_B: The row of each example's first token, [CLS].
        layout: The examples side by side, for attention.
        labels_B: Class positions or, for a regression task, scores (float32); of several labels, 0 or 1 for each
            (float32), shape (B, C); None without labels.
        example_ids_B: Ids within the split, by which teacher states are joined; always on the CPU.
        choices_V: Where examples are K sequences each: the packed position of every example's choices, one example
            after the other, shape (B * K,); labels and ids are those of examples. None where K is 1.
    """

    input_ids_T: torch.Tensor
    token_type_ids_T: torch.Tensor
    position_ids_T: torch.Tensor
    cls_positions_B: torch.Tensor
    layout: PaddingLayout
    labels_B: torch.Tensor | None
    example_ids_B: torch.Tensor
    choices_V: torch.Tensor | None = None

    def to(self, device: torch.device) -> "PackedBatch":
        """Return the batch on `device`; the copy to a GPU does not wait for kernels that still run there."""
        return PackedBatch(
            send(self.input_ids_T, device),
            send(self.token_type_ids_T, device),
            send(self.position_ids_T, device),
            send(self.cls_positions_B, device),
            self.layout.to(device),
            None if self.labels_B is None else send(self.labels_B, device),
            self.example_ids_B,
            None if self.choices_V is None else send(self.choices_V, device),
        )


def pack(
    table: TokenTable, rows: Rows, device: torch.device = _CPU, with_padding: bool = True
) -> PackedBatch:
    """Return rows of a table as one batch, longest first; rows of equal length keep their order.

    Rows of several sequences keep their order, and their sequences are packed longest first.

    >>> table = TokenTable(
    ...     example_ids_R=np.array([7, 8]),
    ...     offsets=np.array([0, 3, 8]),
    ...     input_ids=np.array([2, 30, 3, 2, 40, 3, 41, 3]),
    ...     second_starts_R=np.array([3, 3]),
    ...     labels_R=None,
    ... )
    >>> batch = pack(table, np.array([0, 1]))
    >>> batch.example_ids_B.tolist(), batch.cls_positions_B.tolist()
    ([8, 7], [0, 5])
    >>> len(batch.input_ids_T), batch.input_ids_T[:10].tolist()
    (64, [2, 40, 3, 41, 3, 2, 30, 3, 0, 0])
    >>> batch.token_type_ids_T[:10].tolist()
    [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    >>> batch.layout.groups
    (Group(num_examples=2, length=16),)
    >>> batch.layout.padded_rows_T[:10].tolist()
    [0, 1, 2, 3, 4, 16, 17, 18, 0, 0]

    Args:
        table: The split.
        rows: At least one row, each in [0, R).
        device: Where the batch is sent; attention's groups depend on its kind.
        with_padding: Whether attention pads; without, there are no groups.
    """
    sequences, choices_V = table.sequences_of(rows), None
    order = np.argsort(-table.lengths[sequences], kind="stable")
    sequences = sequences[order]
    if table.num_choices == 1:
        rows = sequences
    else:
        choices_V = torch.from_numpy(np.argsort(order))
    lengths_B = table.lengths[sequences]
    cls_positions_B = np.cumsum(lengths_B) - lengths_B
    num_tokens = int(lengths_B.sum())
    num_rows = _round_rows(num_tokens + 1)
    positions = np.arange(num_tokens) - np.repeat(cls_positions_B, lengths_B)
    tokens = table.input_ids[np.repeat(table.offsets[sequences], lengths_B) + positions]
    is_second = positions >= np.repeat(table.second_starts_R[sequences], lengths_B)
    group_size = _GROUP_SIZE if device.type == "cpu" else len(sequences)
    groups = tuple(_groups(lengths_B, group_size)) if with_padding else ()
    batch = PackedBatch(
        input_ids_T=_add_filler(tokens, num_rows),
        token_type_ids_T=_add_filler(is_second, num_rows),
        position_ids_T=_add_filler(positions, num_rows),
        cls_positions_B=torch.from_numpy(cls_positions_B),
        layout=_padding_layout(groups, lengths_B, cls_positions_B, num_rows),
        labels_B=None if table.labels_R is None else torch.from_numpy(table.labels_R[rows]),
        example_ids_B=torch.from_numpy(table.example_ids_R[rows]),
        choices_V=choices_V,
    )
    return batch.to(device)


def _padding_layout(
    groups: tuple[Group, ...], lengths_B: Integers, cls_positions_B: Integers, num_rows: int
) -> PaddingLayout:
    num_tokens = int(lengths_B.sum())
    starts_S = np.concatenate([cls_positions_B, [num_tokens, num_rows]]).astype(np.int32)
    packed_rows_P = np.full(sum(group.num_padded_rows for group in groups), num_rows - 1, dtype=np.int64)
    padded_rows_T = np.zeros(num_rows, dtype=np.int64)
    first_padded_row, first_example = 0, 0
    for group in groups:
        examples = slice(first_example, first_example + group.num_examples)
        offsets = np.arange(group.length)
        is_token = offsets < lengths_B[examples, None]
        padded_rows = first_padded_row + np.arange(group.num_padded_rows).reshape(is_token.shape)[is_token]
        packed_rows = (cls_positions_B[examples, None] + offsets)[is_token]
        packed_rows_P[padded_rows] = packed_rows
        padded_rows_T[packed_rows] = padded_rows
        first_padded_row += group.num_padded_rows
        first_example += group.num_examples
    attention_bias_P = np.where(packed_rows_P < num_tokens, np.float32(0.0), np.float32(-np.inf))
    return PaddingLayout(
        groups,
        num_tokens,
        torch.from_numpy(packed_rows_P),
        torch.from_numpy(padded_rows_T),
        torch.from_numpy(attention_bias_P),
        torch.from_numpy(starts_S),
        _round_up(max(int(lengths_B[0]), num_rows - num_tokens), _LONGEST_MULTIPLE),
    )


def _groups(lengths_B: Integers, size: int) -> Iterator[Group]:
    """Divide examples, longest first, into groups of a multiple of `size`; the last group may be smaller.

    Neighbouring groups whose lengths round up to the same multiple are one group:

    >>> list(_groups(np.array([40] * 9 + [3] * 20), size=8))
    [Group(num_examples=16, length=48), Group(num_examples=13, length=16)]
    """
    first = 0
    while first < len(lengths_B):
        length = _round_up(int(lengths_B[first]), _LENGTH_MULTIPLE)
        end = first + size
        while end < len(lengths_B) and lengths_B[end] > length - _LENGTH_MULTIPLE:
            end += size
        end = min(end, len(lengths_B))
        yield Group(end - first, length)
        first = end


def _add_filler(values: npt.NDArray[np.generic], num_rows: int) -> torch.Tensor:
    filled = np.zeros(num_rows, dtype=np.int64)
    filled[: len(values)] = values
    return torch.from_numpy(filled)


def _round_rows(num_rows: int) -> int:
    """Round up to a multiple of 64 or, if greater, of a power of two that is at most a sixteenth of `num_rows`.

    >>> _round_rows(300), _round_rows(5000)
    (320, 5120)
    """
    return _round_up(num_rows, 1 << max(num_rows.bit_length() - 5, _LEAST_BITS))


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
