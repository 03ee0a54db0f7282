"""Work done ahead by a thread, while what came before it is still computed with."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_DEPTH = 2

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
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


def _next(iterator: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item in a tuple, or None after the last."""
    for item in iterator:
        return (item,)
    return None
