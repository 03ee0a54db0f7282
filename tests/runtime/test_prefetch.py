"""Prefetched and written items keep their order and their errors, and the thread ends with the reader."""

import threading
from collections.abc import Iterator

import pytest

from pkd_core.runtime.prefetch import prefetch, write_behind


def test_items_come_in_order_even_if_they_are_false_or_none() -> None:
    assert list(prefetch([0, None, "", 3, None])) == [0, None, "", 3, None]
    assert list(prefetch([])) == []


def test_at_most_two_items_are_prefetched() -> None:
    made: list[int] = []
    second, third = threading.Event(), threading.Event()

    def make() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            (None, second, third)[min(number, 2)] and (second, third)[min(number, 2) - 1].set()
            yield number

    items = prefetch(make())
    assert next(items) == 0
    assert second.wait(10)
    assert third.wait(10)
    items.close()
    assert len(made) <= 4


def test_an_error_is_raised_where_its_item_would_have_been() -> None:
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    items = prefetch(make())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)


def test_items_are_prepared_in_another_thread_that_ends_with_the_reader() -> None:
    before = threading.active_count()
    items = prefetch(threading.get_ident() for _ in range(5))
    assert next(items) != threading.get_ident()
    items.close()
    assert threading.active_count() == before


def test_items_are_written_in_order_by_another_thread_while_the_next_is_computed() -> None:
    acted: list[int] = []
    second_made = threading.Event()

    def make() -> Iterator[int]:
        yield 0
        second_made.set()
        yield 1

    def act(number: int) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert second_made.wait(10)
        acted.append(number)

    assert list(write_behind(act, make())) == [0, 1]
    assert acted == [0, 1]
    assert list(write_behind(act, [])) == []


@pytest.mark.parametrize(("bad", "seen"), [(0, [0]), (1, [0, 1])])
def test_an_error_in_writing_is_raised_before_the_next_item_or_at_the_end(bad: int, seen: list[int]) -> None:
    def act(number: int) -> None:
        if number == bad:
            raise ValueError(f"number {number}")

    yielded = []
    with pytest.raises(ValueError, match=f"number {bad}"):
        for number in write_behind(act, [0, 1]):
            yielded.append(number)
    assert yielded == seen


def test_a_reader_that_stops_waits_for_the_current_write() -> None:
    acted: list[int] = []
    stopping = threading.Event()

    def act(number: int) -> None:
        assert stopping.wait(10)
        acted.append(number)

    items = write_behind(act, range(5))
    assert next(items) == 0
    threading.Timer(0.1, stopping.set).start()
    items.close()
    assert acted == [0]
