"""Work done by a thread ahead of the computing, or behind it.

What computes should stay in its own thread: forward passes are a twentieth slower in one that Python started.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_DEPTH = 2

Item = TypeVar("Item")


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items in their order, making up to two of them before they are asked for.

    An error in making an item is raised where that item would have been yielded. A reader that stops early waits for
    those under way and makes no more.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "prefetch") as pool:
        waiting = deque(pool.submit(_next, iterator) for _ in range(_DEPTH))
        while made := waiting.popleft().result():
            waiting.append(pool.submit(_next, iterator))
            yield made[0]


def write_behind(act: Callable[[Item], None], items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items in their order; a thread acts on each while the next one is made.

    An error in acting is raised where the next item would have been yielded, or at the end. A reader that stops early
    waits for the act under way.
    """
    with ThreadPoolExecutor(1, "behind") as pool:
        under_way: Future[None] | None = None
        for item in items:
            if under_way:
                under_way.result()
            under_way = pool.submit(act, item)
            yield item
        if under_way:
            under_way.result()


def _next(iterator: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item in a tuple, or None after the last."""
    for item in iterator:
        return (item,)
    return None
