"""One stage at a time computes in a process; of those that wait, students come last, in the order of their names."""

import heapq
import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.stage import Stage

Rank = tuple[bool, list[str | int]]


class Turns:
    """Lets one thread at a time pass; of those that wait, the one with the lowest rank is next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[Rank, int]] = []
        self._taken = False

    @contextmanager
    def turn(self, rank: Rank) -> Iterator[None]:
        """Wait until no other thread has its turn and none of a lower rank waits; the turn ends with the body."""
        with self._changed:
            place = (rank, next(self._numbers))
            heapq.heappush(self._waiting, place)
            try:
                self._changed.wait_for(lambda: not self._taken and self._waiting[0] == place)
                self._taken = True
            finally:
                # Also where the wait was broken off.
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


def rank_of(stage: Stage) -> Rank:
    """Return a stage's rank: what others wait for comes first, then students, seed 2 before seed 10."""
    parts = re.split(r"(\d+)", stage.key)
    name = [int(part) if number % 2 else part for number, part in enumerate(parts)]
    return stage.kind is StageKind.STUDENT, name
