"""Work of a second thread: preparing items before they are needed, or writing them after they were computed.

Computation stays in the caller's thread: forward passes are 5 % slower in a thread that Python started.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_DEPTH = 2

Item = TypeVar("Item")


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items in their order, preparing up to two of them before they are needed.

    An error in preparing an item is raised where that item would have been yielded. If the caller stops early, items
    in preparation are completed and no more are started.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "prefetch") as pool:
        waiting = deque(pool.submit(_next, iterator) for _ in range(_DEPTH))
        while prepared := waiting.popleft().result():
            waiting.append(pool.submit(_next, iterator))
            yield prepared[0]


def write_behind(write: Callable[[Item], None], items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items in their order; a thread writes each one while the next is computed.

    An error in writing is raised where the next item would have been yielded, or at the end. If the caller stops
    early, the current write is completed.
    """
    with ThreadPoolExecutor(1, "write-behind") as pool:
        current: Future[None] | None = None
        for item in items:
            if current:
                current.result()
            current = pool.submit(write, item)
            yield item
        if current:
            current.result()


def _next(iterator: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item in a tuple, or None after the last."""
    for item in iterator:
        return (item,)
    return None
