"""Several requests at once: all are made, their results keep the order, and a failure ends what has not begun."""

import threading
import time

import pytest

from pkd_core.errors import StoreError
from pkd_core.places.at_once import at_once


def test_results_are_in_the_order_of_the_items() -> None:
    def slow_for_the_first(number: int) -> int:
        time.sleep(0.05 * (number == 0))
        return number**2

    assert at_once(slow_for_the_first, range(40)) == [number**2 for number in range(40)]


def test_sixteen_wait_for_their_answers_at_once() -> None:
    together = threading.Barrier(16, timeout=60)
    assert sorted(at_once(lambda _: together.wait(), range(16))) == list(range(16))


def test_after_a_failure_no_further_call_begins_and_its_error_is_raised() -> None:
    begun = []

    def fail_at_the_third(number: int) -> None:
        begun.append(number)
        if number == 2:
            raise StoreError("the server does not answer.")
        time.sleep(0.1)

    with pytest.raises(StoreError, match="does not answer"):
        at_once(fail_at_the_third, range(2000))
    assert 3 <= len(begun) < 1000
