"""The layer maps against the table of docs/method.md, and their properties at every depth."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkd_core.method.layer_map import LayerMap, last_layers, skip_layers

TABLE = [
    (6, 12, [2, 4, 6, 8, 10], [7, 8, 9, 10, 11]),
    (3, 12, [4, 8], [10, 11]),
    (6, 24, [4, 8, 12, 16, 20], [19, 20, 21, 22, 23]),
    (3, 24, [8, 16], [22, 23]),
    (3, 6, [2, 4], [4, 5]),
    (2, 6, [3], [5]),
]


@pytest.mark.parametrize(("num_student", "num_teacher", "skip", "last"), TABLE)
def test_maps_equal_the_table(num_student: int, num_teacher: int, skip: list[int], last: list[int]) -> None:
    student = range(1, num_student)
    assert skip_layers(num_student, num_teacher) == tuple(zip(student, skip, strict=True))
    assert last_layers(num_student, num_teacher) == tuple(zip(student, last, strict=True))


@given(st.integers(2, 12), st.integers(2, 6))
def test_maps_rise_and_omit_both_last_layers(num_student: int, stride: int) -> None:
    num_teacher = num_student * stride
    for layer_map in (skip_layers(num_student, num_teacher), last_layers(num_student, num_teacher)):
        teacher = [pair[1] for pair in layer_map]
        assert [pair[0] for pair in layer_map] == list(range(1, num_student))
        assert {type(layer) for layer in teacher} <= {int}
        assert teacher == sorted(set(teacher))
        assert set(teacher) <= set(range(1, num_teacher))


def test_only_skip_needs_a_divisible_depth() -> None:
    with pytest.raises(ValueError, match=r"divisible.*pkd-last"):
        skip_layers(5, 12)
    assert last_layers(5, 12)[0] == (1, 8)


@pytest.mark.parametrize("make", [skip_layers, last_layers])
@pytest.mark.parametrize(("num_student", "num_teacher"), [(12, 12), (6, 3), (1, 12), (0, 12), (2, 2)])
def test_depths_without_compression_or_without_pairs_are_an_error(
    make: Callable[[int, int], LayerMap], num_student: int, num_teacher: int
) -> None:
    with pytest.raises(ValueError, match=r"shallower|2 layers or more"):
        make(num_student, num_teacher)
