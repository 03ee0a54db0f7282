"""Packed batches: the examples' tokens on end in one row of tensors, so that almost nothing computed is padding.

Only attention needs examples side by side. For it the layout says how rows go into padded groups of examples of
similar length, and back; on a GPU, where a kernel's launch costs more than its padding, they are all one group. Shapes
are rounded up to take few values: the CPU's matrix library prepares, and keeps, buffers for every new one.
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
_CPU = torch.device("cpu")

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Examples that attention treats together: `num_examples` of them, each padded to `length` places."""

    num_examples: int
    length: int

    @property
    def num_padded_rows(self) -> int:
        """Rows of the padded form that belong to the group."""
        return self.num_examples * self.length


@dataclass(frozen=True)
class PaddingLayout:
    """Where a packed batch's rows stand in its padded groups; T rows, P places of all groups on end.

    Attributes:
        groups: The groups, in the examples' order.
        num_tokens: Rows that hold tokens; the T - num_tokens rows after them, at least one, are filler.
        packed_rows_P: The row that goes to each place; a place beyond its example's end takes the last row, a filler.
        padded_rows_T: The place that each token's row comes back from; 0 for filler.
        attention_bias_P: What attention adds to the scores of a key: 0, or minus infinity beyond the example.
    """

    groups: tuple[Group, ...]
    num_tokens: int
    packed_rows_P: torch.Tensor
    padded_rows_T: torch.Tensor
    attention_bias_P: torch.Tensor

    def to(self, device: torch.device) -> "PaddingLayout":
        """Return the layout on `device`."""
        return PaddingLayout(
            self.groups,
            self.num_tokens,
            send(self.packed_rows_P, device),
            send(self.padded_rows_T, device),
            send(self.attention_bias_P, device),
        )


@dataclass(frozen=True)
class PackedBatch:
    """B examples as T rows, longest first; all integers are int64.

    Attributes:
        input_ids_T: Token ids; the first id of the vocabulary as filler.
        token_type_ids_T: 1 on the second segment's tokens.
        position_ids_T: Each token's position in its example.
        cls_positions_B: The row of each example's first token, [CLS].
        layout: How attention sees the examples side by side.
        labels_B: Class positions or, for a regression task, scores (float32); None without labels.
        example_ids_B: Ids within the split, by which teacher states are joined; always on the CPU.
    """

    input_ids_T: torch.Tensor
    token_type_ids_T: torch.Tensor
    position_ids_T: torch.Tensor
    cls_positions_B: torch.Tensor
    layout: PaddingLayout
    labels_B: torch.Tensor | None
    example_ids_B: torch.Tensor

    def to(self, device: torch.device) -> "PackedBatch":
        """Return the batch on `device`; to a GPU it goes without waiting for what that still computes."""
        return PackedBatch(
            send(self.input_ids_T, device),
            send(self.token_type_ids_T, device),
            send(self.position_ids_T, device),
            send(self.cls_positions_B, device),
            self.layout.to(device),
            None if self.labels_B is None else send(self.labels_B, device),
            self.example_ids_B,
        )


def pack(table: TokenTable, rows: Rows, device: torch.device = _CPU) -> PackedBatch:
    """Return these rows of `table`, longest first and otherwise in the order given.

    Args:
        table: The split.
        rows: At least one row, each in [0, R).
        device: Where the batch is to be computed with, and is sent.
    """
    lengths = table.lengths
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    lengths_B = lengths[rows]
    cls_positions_B = np.cumsum(lengths_B) - lengths_B
    num_tokens = int(lengths_B.sum())
    num_rows = _round_rows(num_tokens + 1)
    positions = np.arange(num_tokens) - np.repeat(cls_positions_B, lengths_B)
    tokens = table.input_ids[np.repeat(table.offsets[rows], lengths_B) + positions]
    is_second = positions >= np.repeat(table.second_starts_R[rows], lengths_B)
    groups = tuple(_groups(lengths_B, _GROUP_SIZE if device.type == "cpu" else len(rows)))
    batch = PackedBatch(
        input_ids_T=_filled(tokens, num_rows),
        token_type_ids_T=_filled(is_second, num_rows),
        position_ids_T=_filled(positions, num_rows),
        cls_positions_B=torch.from_numpy(cls_positions_B),
        layout=_padding_layout(groups, lengths_B, cls_positions_B, num_rows),
        labels_B=None if table.labels_R is None else torch.from_numpy(table.labels_R[rows]),
        example_ids_B=torch.from_numpy(table.example_ids_R[rows]),
    )
    return batch.to(device)


def _padding_layout(
    groups: tuple[Group, ...], lengths_B: Integers, cls_positions_B: Integers, num_rows: int
) -> PaddingLayout:
    num_tokens = int(lengths_B.sum())
    packed_rows_P = np.full(sum(group.num_padded_rows for group in groups), num_rows - 1, dtype=np.int64)
    padded_rows_T = np.zeros(num_rows, dtype=np.int64)
    first_place, first_example = 0, 0
    for group in groups:
        members = slice(first_example, first_example + group.num_examples)
        places = first_place + np.arange(group.num_padded_rows).reshape(group.num_examples, group.length)
        is_token = np.arange(group.length) < lengths_B[members, None]
        rows = (cls_positions_B[members, None] + np.arange(group.length))[is_token]
        packed_rows_P[places[is_token]] = rows
        padded_rows_T[rows] = places[is_token]
        first_place += group.num_padded_rows
        first_example += group.num_examples
    attention_bias_P = np.where(packed_rows_P < num_tokens, np.float32(0.0), np.float32(-np.inf))
    return PaddingLayout(
        groups,
        num_tokens,
        torch.from_numpy(packed_rows_P),
        torch.from_numpy(padded_rows_T),
        torch.from_numpy(attention_bias_P),
    )


def _groups(lengths_B: Integers, size: int) -> Iterator[Group]:
    """Group examples, longest first, by so many; neighbours of the same rounded length are one group."""
    first = 0
    while first < len(lengths_B):
        length = _round_up(int(lengths_B[first]), _LENGTH_MULTIPLE)
        end = first + size
        while end < len(lengths_B) and lengths_B[end] > length - _LENGTH_MULTIPLE:
            end += size
        end = min(end, len(lengths_B))
        yield Group(end - first, length)
        first = end


def _filled(values: npt.NDArray[np.generic], num_rows: int) -> torch.Tensor:
    filled = np.zeros(num_rows, dtype=np.int64)
    filled[: len(values)] = values
    return torch.from_numpy(filled)


def _round_rows(num_rows: int) -> int:
    """Round up to a multiple of 64 or of a power of two of at most a sixteenth: few values, and little filler."""
    return _round_up(num_rows, 1 << max(num_rows.bit_length() - 5, _LEAST_BITS))


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
