"""One thread at a time has its turn, and of those that wait the first by rank is next."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import pytest

from tasks.turns import Rank, Turns


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.001)


def rank(number: int) -> Rank:
    return False, ["", number]


def test_waiting_threads_are_served_by_rank_and_one_at_a_time() -> None:
    turns, order, inside = Turns(), [], []

    def work(number: int) -> None:
        with turns.turn(rank(number)):
            inside.append(number)
            assert inside == [number], "another has its turn too"
            order.append(number)
            time.sleep(0.002)
            inside.remove(number)

    numbers = [5, 3, 9, 1, 7, 1]
    threads = [threading.Thread(target=work, args=[number]) for number in numbers]
    with turns.turn(rank(100)):
        for thread in threads:
            thread.start()
        wait_until(lambda: len(turns._waiting) == len(numbers))
        assert order == []
    for thread in threads:
        thread.join()
    assert order == sorted(numbers)


def test_a_wait_that_is_broken_off_holds_nobody_up() -> None:
    turns, done = Turns(), threading.Event()

    def hold() -> None:
        with turns.turn(rank(1)):
            done.wait(20)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, stop)
    try:
        holder = threading.Thread(target=hold)
        holder.start()
        wait_until(lambda: turns._taken)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(InterruptedError), turns.turn(rank(2)):
            pass
    finally:
        signal.signal(signal.SIGALRM, before)
    done.set()
    holder.join()
    with turns.turn(rank(3)):
        pass


def test_a_turn_that_fails_is_over() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="no"), turns.turn(rank(1)):
        raise ValueError("no")
    with turns.turn(rank(1)):
        pass
