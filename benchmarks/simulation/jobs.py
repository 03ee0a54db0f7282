"""From planned searches to jobs: what holds a GPU, what a driver does one after the other, and what fails."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.simulation.planned_search import FINAL, REPORT, PlannedRound, PlannedSearch
from benchmarks.simulation.schedule import Job
from benchmarks.simulation.stage_seconds import compute_seconds
from pkd_core.pipeline.needs import gpus_of
from pkd_core.pipeline.stage import Stage

# As the default of checkpoint_minutes; and training keeps one after each of 4 epochs.
_CHECKPOINT_SECONDS, _EPOCHS = 300.0, 4


@dataclass(frozen=True)
class Assumptions:
    """What a simulated run is like.

    Attributes:
        start_seconds: Start of the worker process of a stage, until it computes.
        submit_seconds: What a driver needs to submit one stage.
        students_per_gpu: How many students share a GPU.
        shared_gain: How much faster students on one GPU are together than one after the other.
        slowdown: How much longer the GPU computes than an H100.
        failures_per_hour: How often a busy worker is lost.
        detect_seconds: From the loss of a worker to the next attempt; 26 s were measured for a cut network.
        independent_rounds: Whether a round waits only for those that it needs: the patient methods for kd.
    """

    start_seconds: float = 15.0
    submit_seconds: float = 0.075
    students_per_gpu: int = 1
    shared_gain: float = 1.1
    slowdown: float = 1.0
    failures_per_hour: float = 0.0
    detect_seconds: float = 26.0
    independent_rounds: bool = False


def jobs_of(searches: Sequence[PlannedSearch], given: Assumptions, seed: int = 0) -> list[Job]:
    """Return the jobs of searches that all start at once, each with a driver of its own.

    A stage that two searches need is one job: the other search finds it done.

    Args:
        searches: The searches.
        given: What the run is like.
        seed: Of the failures.
    """
    jobs: dict[str, Job] = {}
    for search in searches:
        rng = random.Random(f"{seed} {search.task} {search.num_layers}")
        for job in _jobs_of_search(search, given, rng):
            jobs.setdefault(job.name, job)
    return list(jobs.values())


def stage_name(stage: Stage) -> str:
    """Return the name of a stage's job."""
    return stage.address.folder.as_posix()


def with_failures(seconds: float, given: Assumptions, rng: random.Random) -> float:
    """Return how long a stage takes that computes for some seconds, its attempts that end in a lost worker included.

    What was computed since the last checkpoint is computed again.
    """
    kept, taken = 0.0, 0.0
    checkpoint = min(_CHECKPOINT_SECONDS, seconds / _EPOCHS) if seconds else 1.0
    while given.failures_per_hour:
        lost_after = rng.expovariate(given.failures_per_hour / 3600)
        if lost_after >= given.start_seconds + seconds - kept:
            break
        kept += max(lost_after - given.start_seconds, 0.0) // checkpoint * checkpoint
        taken += lost_after + given.detect_seconds
    return taken + given.start_seconds + seconds - kept


def _jobs_of_search(search: PlannedSearch, given: Assumptions, rng: random.Random) -> Iterator[Job]:
    ends: dict[str, str] = {}
    before = ""
    for one in search.rounds:
        driver = f"{search.task} {search.num_layers}l {one.name}"
        needed = _needed_rounds(one.name, ends) if given.independent_rounds else [before] if before else []
        yield Job(f"{driver} plan", one.seconds, needs=tuple(needed))
        yield from _jobs_of_round(one, driver, given, rng)
        before = ends[one.name] = f"{driver} end"
        yield Job(before, 0.0, needs=tuple(stage_name(stage) for stage in one.stages))


def _jobs_of_round(one: PlannedRound, driver: str, given: Assumptions, rng: random.Random) -> Iterator[Job]:
    keys = {stage.key: stage_name(stage) for stage in one.stages}
    submitted = f"{driver} plan"
    for number, stage in enumerate(one.stages):
        previous, submitted = submitted, f"{driver} submit {number}"
        yield Job(submitted, given.submit_seconds, needs=(previous,))
        inputs = (keys[key] for key in stage.inputs.values() if key in keys)
        yield Job(stage_name(stage), *_seconds_and_share(stage, one.name, given, rng), (submitted, *inputs))


def _seconds_and_share(
    stage: Stage, part: str, given: Assumptions, rng: random.Random
) -> tuple[float, Fraction]:
    seconds = compute_seconds(stage, is_held_out=part not in (FINAL, REPORT))
    share = Fraction(gpus_of(stage, given.students_per_gpu)).limit_denominator(64)
    if not share:
        return given.start_seconds + seconds, share
    if share < 1:
        # As if the GPU were always full, which it is where work is left.
        seconds *= given.students_per_gpu / given.shared_gain
    return with_failures(seconds * given.slowdown, given, rng), share


def _needed_rounds(name: str, ends: Mapping[str, str]) -> list[str]:
    """Return the ends of the rounds whose choice, or whose models, a round needs."""
    if name in (FINAL, REPORT):
        return list(ends.values())
    return [ends["kd"]] if "kd" in ends and name.startswith("pkd-") else []
