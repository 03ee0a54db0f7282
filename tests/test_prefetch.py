"""What is made ahead comes in order, with its errors, and stops with its reader."""

import threading
from collections.abc import Iterator

import pytest

from pkd_core.prefetch import ahead


def test_items_come_in_order_even_if_they_are_false_or_none() -> None:
    assert list(ahead([0, None, "", 3, None])) == [0, None, "", 3, None]
    assert list(ahead([])) == []


def test_two_items_are_made_before_they_are_asked_for_and_no_more() -> None:
    made: list[int] = []
    second, third = threading.Event(), threading.Event()

    def make() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            (None, second, third)[min(number, 2)] and (second, third)[min(number, 2) - 1].set()
            yield number

    items = ahead(make())
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

    items = ahead(make())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)


def test_items_are_made_in_another_thread_that_ends_with_the_reader() -> None:
    before = threading.active_count()
    items = ahead(threading.get_ident() for _ in range(5))
    assert next(items) != threading.get_ident()
    items.close()
    assert threading.active_count() == before
