"""What one of several processes does in a race, and how its faults are counted."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from faulty_disk import faulty_disk

from pkd_core.errors import StoreError
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.folder import FolderObjects
from pkd_core.places.objects import Objects
from pkd_core.places.s3 import S3Objects

_SECONDS = 300


@dataclass(frozen=True)
class Course:
    """Where processes race: the place, the environment that leads to it, and how often a folder's calls fail."""

    place: str
    environment: tuple[tuple[str, str], ...] = ()
    disk_fault_rate: float = 0.0

    def open(self) -> Objects:
        os.environ.update(self.environment)
        if self.place.startswith("s3://"):
            bucket, _, prefix = self.place.removeprefix("s3://").partition("/")
            return S3Objects(bucket, prefix)
        return FolderObjects(Path(self.place))


Run = Callable[[Objects, int, Barrier], Any]


def race(course: Course, num_racers: int, run: Run) -> tuple[list[Any], Counter[str]]:
    """Let processes run a function of a module at once; return what each returned, and the disk's faults of all."""
    context = get_context("spawn")
    barrier, results = context.Barrier(num_racers), context.Queue()
    racers = [
        context.Process(target=_take_part, args=(course, number, run, barrier, results))
        for number in range(num_racers)
    ]
    for racer in racers:
        racer.start()
    try:
        found = dict(results.get(timeout=_SECONDS) for _ in racers)
    finally:
        for racer in racers:
            racer.terminate()
            racer.join()
    counts: Counter[str] = Counter()
    for _, disk_counts in found.values():
        counts += disk_counts
    return [found[number][0] for number in range(num_racers)], counts


def _take_part(course: Course, number: int, run: Run, barrier: Barrier, results: "Queue[Any]") -> None:
    objects = course.open()
    with faulty_disk(number, course.disk_fault_rate) as counts:
        result = run(objects, number, barrier)
    results.put((number, (result, counts)))


def create_each(objects: Objects, number: int, barrier: Barrier) -> list[bytes | None]:
    """Try to be the first writer of 50 objects; return what stands at each, None where the place failed for good."""
    standing: list[bytes | None] = []
    for turn in range(50):
        barrier.wait(_SECONDS)
        try:
            standing.append(create_or_read(objects, f"race/{turn}", f"racer {number}".encode()))
        except StoreError:
            standing.append(None)
    return standing


def create_once(objects: Objects, number: int, barrier: Barrier) -> list[bool | None]:
    """Create 50 objects; return which were created by this call; None where the place failed."""
    created: list[bool | None] = []
    for turn in range(50):
        barrier.wait(_SECONDS)
        try:
            created.append(objects.create(f"race/{turn}", f"racer {number}".encode()))
        except StoreError:
            created.append(None)
    return created


def write_and_read_files(objects: Objects, number: int, barrier: Barrier) -> list[str]:
    """Upload three files of different sizes, read them back, and return each outcome: "same", "failed" or "other"."""
    barrier.wait(_SECONDS)
    sizes = (0, 3 << 20, (13 << 20) + 7)
    return [_write_and_read(objects, f"files/{number}-{size}", size) for size in sizes]


def _write_and_read(objects: Objects, key: str, num_bytes: int) -> str:
    sent, got = (Path(os.environ["RACE_FOLDER"], f"{Path(key).name}.{end}") for end in ("sent", "got"))
    sent.write_bytes(os.urandom(num_bytes))
    is_sent = _has_worked(lambda: objects.upload(sent, key))
    is_got = _has_worked(lambda: objects.download(key, got))
    with suppress(StoreError):
        sizes = {found.key: found.size for found in objects.list("files/")}
        assert sizes.get(key, num_bytes) == num_bytes, "half an object is visible"
        assert key in sizes or not is_sent, "the list lacks a file that was sent"
    if not is_got:
        return "failed"
    return "same" if got.read_bytes() == sent.read_bytes() else "other"


def write_and_list(objects: Objects, number: int, barrier: Barrier) -> int:
    """Write 40 objects and list all racers' after each; return how many lists there were."""
    barrier.wait(_SECONDS)
    num_lists, written = 0, set[str]()
    for turn in range(40):
        with suppress(StoreError):
            key = f"listed/{number}/{turn}"
            objects.put(key, b"content")
            written.add(key)
        with suppress(StoreError):
            sizes = {found.key: found.size for found in objects.list("listed/")}
            assert written <= sizes.keys(), "the list lacks what was written before"
            assert set(sizes.values()) <= {len(b"content")}, "half an object is visible"
            num_lists += 1
    return num_lists


def _has_worked(act: Callable[[], None]) -> bool:
    try:
        act()
    except StoreError:
        return False
    return True


def one_winner_each(results: Sequence[Sequence[bytes | None]]) -> int:
    """Check that all racers saw the same content in each turn; return how often a racer got no answer."""
    for turn in zip(*results, strict=True):
        assert len({content for content in turn if content is not None}) == 1
    return sum(content is None for result in results for content in result)
