"""Packed batches hold every token once, and their layout maps packed to padded rows and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import table_of

from pkd_core.model.packing import PackedBatch, pack

LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=40)


@given(LENGTHS)
def test_every_token_is_packed_once_with_its_position_and_segment(lengths: list[int]) -> None:
    table = table_of(lengths)
    batch = pack(table, np.arange(len(lengths)))
    assert sorted(batch.example_ids_B.tolist()) == table.example_ids_R.tolist()
    for example_id, start in zip(batch.example_ids_B.tolist(), batch.cls_positions_B.tolist(), strict=True):
        row = example_id - 100
        rows = slice(start, start + lengths[row])
        expected = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        assert batch.input_ids_T[rows].tolist() == expected.tolist()
        assert batch.position_ids_T[rows].tolist() == list(range(lengths[row]))
        second = table.second_starts_R[row]
        assert batch.token_type_ids_T[rows].tolist() == [0] * second + [1] * (lengths[row] - second)
    assert batch.labels_B is not None
    assert batch.labels_B.tolist() == [lengths[example_id - 100] / 2 for example_id in batch.example_ids_B]


@given(LENGTHS)
def test_the_layout_maps_tokens_to_padded_rows_and_back_and_hides_padding(lengths: list[int]) -> None:
    batch = pack(table_of(lengths), np.arange(len(lengths)))
    layout = batch.layout
    assert layout.num_tokens == sum(lengths) < len(batch.input_ids_T)
    tokens = torch.arange(layout.num_tokens)
    assert torch.equal(layout.packed_rows_P[layout.padded_rows_T[: layout.num_tokens]], tokens)
    is_token_P = layout.attention_bias_P == 0
    assert torch.equal(layout.packed_rows_P[is_token_P].sort().values, tokens)
    assert (layout.packed_rows_P[~is_token_P] == len(batch.input_ids_T) - 1).all()
    assert (layout.attention_bias_P[~is_token_P] == -torch.inf).all()


@given(LENGTHS)
def test_each_example_has_one_padded_line_of_its_group(lengths: list[int]) -> None:
    batch = pack(table_of(lengths), np.arange(len(lengths)))
    ordered = sorted(lengths, reverse=True)
    first_row, number = 0, 0
    for group in batch.layout.groups:
        rows = batch.layout.packed_rows_P[first_row : first_row + group.num_padded_rows]
        for line in rows.view(group.num_examples, group.length):
            start = int(batch.cls_positions_B[number])
            assert line[: ordered[number]].tolist() == list(range(start, start + ordered[number]))
            number += 1
        first_row += group.num_padded_rows
    assert number == len(lengths)
    assert first_row == len(batch.layout.packed_rows_P)


@given(LENGTHS)
def test_sizes_are_multiples_with_little_filler(lengths: list[int]) -> None:
    batch = pack(table_of(lengths), np.arange(len(lengths)))
    assert len(batch.input_ids_T) % 64 == 0
    assert 1 <= len(batch.input_ids_T) - sum(lengths) <= max(64, 1 + sum(lengths) // 16)
    for group in batch.layout.groups:
        assert group.length % 16 == 0
        assert group.num_examples % 8 == 0 or group is batch.layout.groups[-1]


def test_examples_are_sorted_longest_first_and_ties_keep_their_order() -> None:
    batch = pack(table_of([3, 9, 3, 9, 5]), np.array([0, 3, 4, 2, 1]))
    assert batch.example_ids_B.tolist() == [103, 101, 104, 100, 102]


def test_many_examples_of_two_lengths_keep_their_order_within_a_length() -> None:
    lengths = [3, 9] * 50
    batch = pack(table_of(lengths), np.arange(100))
    assert (batch.example_ids_B - 100).tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


@pytest.mark.parametrize(
    ("num_tokens", "num_rows"),
    [(62, 64), (63, 64), (64, 128), (2047, 2048), (2048, 2176), (4095, 4096), (4096, 4352), (4999, 5120)],
)
def test_rows_are_rounded_up_to_the_next_multiple_that_leaves_a_row_of_filler(
    num_tokens: int, num_rows: int
) -> None:
    batch = pack(table_of([num_tokens - 1, 1]), np.arange(2))
    assert (batch.layout.num_tokens, len(batch.input_ids_T)) == (num_tokens, num_rows)
    is_filler_P = batch.layout.packed_rows_P == num_rows - 1
    assert torch.equal(batch.layout.attention_bias_P == -torch.inf, is_filler_P)


def test_an_unlabelled_table_gives_a_batch_without_labels() -> None:
    batch = pack(table_of([3, 4], labelled=False), np.arange(2))
    assert batch.labels_B is None
    assert pack(table_of([3, 4], labelled=False), np.arange(2), torch.device("meta")).labels_B is None


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_batch_moves_to_the_device_except_for_its_example_ids(device: str) -> None:
    batch = pack(table_of([3, 4]), np.arange(2), torch.device(device))
    assert _devices(batch) == {device}
    assert batch.example_ids_B.tolist() == [101, 100]


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([17] * 8 + [16], [(8, 32), (1, 16)]),
        ([18] * 8 + [17], [(9, 32)]),
        ([17] * 7 + [16], [(8, 32)]),
        ([1], [(1, 16)]),
    ],
)
def test_groups_of_eight_are_joined_if_their_longest_examples_round_up_alike(
    lengths: list[int], groups: list[tuple[int, int]]
) -> None:
    layout = pack(table_of(lengths), np.arange(len(lengths))).layout
    assert [(group.num_examples, group.length) for group in layout.groups] == groups


def test_on_a_gpu_all_examples_are_one_group() -> None:
    lengths = [40] * 9 + [3] * 20
    on_cpu, on_device = (
        pack(table_of(lengths), np.arange(29), torch.device(name)).layout for name in ("cpu", "meta")
    )
    assert [(group.num_examples, group.length) for group in on_cpu.groups] == [(16, 48), (13, 16)]
    assert [(group.num_examples, group.length) for group in on_device.groups] == [(29, 48)]


def _devices(batch: PackedBatch) -> set[str]:
    values = [value for name, value in vars(batch).items() if name != "example_ids_B"]
    values += vars(batch.layout).values()
    return {value.device.type for value in values if isinstance(value, torch.Tensor)}
