"""List scheduling: a job starts as soon as all that it needs is done and a GPU has room for it."""

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Job:
    """Something that takes time.

    Attributes:
        name: Tells it from all others.
        seconds: How long it takes from its start to its end.
        share: The part of a GPU that it holds meanwhile, 0 to 1; as many jobs of share 0 run at once as want to.
        needs: Names of the jobs that end before it starts.
    """

    name: str
    seconds: float
    share: Fraction = Fraction(0)
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """What happens when and where, by the jobs' names.

    Attributes:
        starts: When each job starts, in seconds.
        ends: When it ends.
        gpus: Number of the GPU of each job that has a share of one.
    """

    starts: Mapping[str, float]
    ends: Mapping[str, float]
    gpus: Mapping[str, int]

    @property
    def makespan(self) -> float:
        """The end of the last job."""
        return max(self.ends.values(), default=0.0)


def lengths_to_end(jobs: Sequence[Job]) -> dict[str, float]:
    """Return the seconds of the longest chain that begins with each job.

    Args:
        jobs: Each after what it needs.
    """
    following: dict[str, float] = {}
    lengths: dict[str, float] = {}
    for job in reversed(jobs):
        lengths[job.name] = job.seconds + following.get(job.name, 0.0)
        for name in job.needs:
            following[name] = max(following.get(name, 0.0), lengths[job.name])
    return lengths


def lower_bound(jobs: Sequence[Job], num_gpus: int) -> float:
    """Return the seconds below which no schedule can be: the longest chain, or all work divided by the GPUs."""
    longest = max(lengths_to_end(jobs).values(), default=0.0)
    return max(longest, gpu_seconds(jobs) / num_gpus)


def gpu_seconds(jobs: Sequence[Job]) -> float:
    """Return the GPU time that jobs hold in all."""
    return sum(float(job.share) * job.seconds for job in jobs)


def list_schedule(jobs: Sequence[Job], num_gpus: int, longest_first: bool = False) -> Schedule:
    """Start jobs in the order in which they become ready, each on the fullest GPU that has room for it.

    A job that finds no room does not hold up jobs of another share, as in Ray, which queues tasks by what they need.

    Args:
        jobs: Each after what it needs.
        num_gpus: Number of GPUs.
        longest_first: Of the ready jobs, start that one first whose longest chain of followers takes longest.
    """
    lengths = lengths_to_end(jobs) if longest_first else {}
    waiting = {job.name: len(set(job.needs)) for job in jobs}
    followers: dict[str, list[Job]] = {}
    for job in jobs:
        for name in set(job.needs):
            followers.setdefault(name, []).append(job)
    ready = _Ready(lengths)
    gpus = _Gpus(num_gpus)
    for job in jobs:
        if not job.needs:
            ready.add(job)
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    places: dict[str, int] = {}
    running: list[tuple[float, int, Job]] = []
    order, now = itertools.count(), 0.0
    while True:
        while (found := ready.take(gpus)) is not None:
            job, gpu = found
            starts[job.name], ends[job.name] = now, now + job.seconds
            if gpu is not None:
                places[job.name] = gpu
            heapq.heappush(running, (ends[job.name], next(order), job))
        if not running:
            break
        now, _, job = heapq.heappop(running)
        if job.name in places:
            gpus.release(places[job.name], job.share)
        for follower in followers.get(job.name, ()):
            waiting[follower.name] -= 1
            if not waiting[follower.name]:
                ready.add(follower)
    assert len(ends) == len(jobs), "every job is after what it needs"
    return Schedule(starts, ends, places)


class _Ready:
    """The jobs that could start, a queue for each share."""

    def __init__(self, lengths: Mapping[str, float]) -> None:
        self._lengths = lengths
        self._queues: dict[Fraction, list[tuple[float, int, Job]]] = {}
        self._order = itertools.count()

    def add(self, job: Job) -> None:
        """Add a job that has all that it needs."""
        entry = (-self._lengths.get(job.name, 0.0), next(self._order), job)
        heapq.heappush(self._queues.setdefault(job.share, []), entry)

    def take(self, gpus: "_Gpus") -> "tuple[Job, int | None] | None":
        """Remove and return the first job that has room, with its GPU; None if there is none."""
        fitting = [queue for share, queue in self._queues.items() if queue and gpus.has_room(share)]
        if not fitting:
            return None
        _, _, job = heapq.heappop(min(fitting))
        return job, gpus.hold(job.share) if job.share else None


class _Gpus:
    """What is free of each GPU; among those with room, the fullest is taken."""

    def __init__(self, count: int) -> None:
        self._free = dict.fromkeys(range(count), Fraction(1))
        self._with: dict[Fraction, set[int]] = {Fraction(1): set(range(count))}

    def has_room(self, share: Fraction) -> bool:
        """Return whether some GPU has so much free."""
        return not share or any(gpus for free, gpus in self._with.items() if free >= share)

    def hold(self, share: Fraction) -> int:
        """Take a share of a GPU, and return its number."""
        free = min(free for free, gpus in self._with.items() if free >= share and gpus)
        gpu = self._with[free].pop()
        self._set(gpu, free - share)
        return gpu

    def release(self, gpu: int, share: Fraction) -> None:
        """Give a share back."""
        free = self._free[gpu]
        self._with[free].discard(gpu)
        self._set(gpu, free + share)

    def _set(self, gpu: int, free: Fraction) -> None:
        self._free[gpu] = free
        self._with.setdefault(free, set()).add(gpu)
