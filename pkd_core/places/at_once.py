"""Many requests to a place, several at once: each mostly waits for its answer."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Result = TypeVar("Result")

_NUM_AT_ONCE = 16


def at_once(act: Callable[[T], Result], items: Iterable[T]) -> list[Result]:
    """Call a function of each item, in several threads, and return the results in the order of the items.

    Once a call has failed, no further one begins, and its error is raised when those under way have ended.
    """
    with ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
        calls = [pool.submit(act, item) for item in items]
        try:
            return [call.result() for call in calls]
        finally:
            pool.shutdown(cancel_futures=True)
