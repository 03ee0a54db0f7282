"""List scheduling against schedules made by hand, and against what holds for every schedule."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulation.demand import busiest
from benchmarks.simulation.jobs import Assumptions, with_failures
from benchmarks.simulation.schedule import (
    Job,
    Schedule,
    gpu_seconds,
    lengths_to_end,
    list_schedule,
    lower_bound,
)

WHOLE, HALF = Fraction(1), Fraction(1, 2)
# Graham's example: the list's order wastes what the longest job first does not.
GRAHAM = [Job("a", 1, WHOLE), Job("b", 1, WHOLE), Job("c", 2, WHOLE)]


@st.composite
def job_lists(draw: st.DrawFn) -> list[Job]:
    """Up to 12 jobs of random lengths and shares, each after a random choice of those before it."""
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 12))):
        share = draw(st.sampled_from([Fraction(0), Fraction(1, 4), HALF, WHOLE]))
        needs = draw(st.lists(st.sampled_from([job.name for job in jobs]), max_size=3)) if jobs else []
        jobs.append(Job(str(number), draw(st.integers(0, 20)), share, tuple(needs)))
    return jobs


def test_jobs_start_in_the_order_in_which_they_are_ready_or_the_longest_first() -> None:
    in_order = list_schedule(GRAHAM, 2)
    assert in_order.starts == {"a": 0, "b": 0, "c": 1}
    assert in_order.makespan == 3
    longest = list_schedule(GRAHAM, 2, longest_first=True)
    assert longest.starts == {"c": 0, "a": 0, "b": 1}
    assert longest.makespan == 2
    assert lower_bound(GRAHAM, 2) == 2


def test_a_job_waits_for_all_that_it_needs_and_the_bound_is_the_longest_chain() -> None:
    jobs = [
        Job("tokens", 2),
        Job("teacher", 5, WHOLE, ("tokens",)),
        Job("student", 4, WHOLE, ("tokens", "teacher")),
        Job("other", 9, WHOLE),
    ]
    schedule = list_schedule(jobs, 2)
    assert schedule.starts == {"tokens": 0, "other": 0, "teacher": 2, "student": 7}
    assert schedule.makespan == 11
    assert lengths_to_end(jobs) == {"tokens": 11, "teacher": 9, "student": 4, "other": 9}
    assert lower_bound(jobs, 2) == 11
    assert lower_bound(jobs, 1) == 18


def test_halves_share_the_fullest_gpu_and_do_not_hold_up_whole_ones() -> None:
    jobs = [Job("a", 3, HALF), Job("b", 3, HALF), Job("c", 3, WHOLE), Job("d", 1, HALF)]
    schedule = list_schedule(jobs, 2)
    assert schedule.starts == {"a": 0, "b": 0, "c": 0, "d": 3}
    assert schedule.gpus["a"] == schedule.gpus["b"] != schedule.gpus["c"]
    # On one GPU the whole one waits, and the last half goes before it.
    assert list_schedule(jobs, 1).starts["d"] == 3
    assert gpu_seconds(jobs) == 6.5


@settings(max_examples=40)
@given(job_lists(), st.integers(1, 5), st.booleans())
def test_a_schedule_keeps_needs_and_room_and_is_not_below_its_bound(
    jobs: list[Job], num_gpus: int, longest_first: bool
) -> None:
    schedule = list_schedule(jobs, num_gpus, longest_first)
    assert schedule.makespan >= lower_bound(jobs, num_gpus) - 1e-9
    for job in jobs:
        assert schedule.ends[job.name] == schedule.starts[job.name] + job.seconds
        assert all(schedule.ends[name] <= schedule.starts[job.name] for name in job.needs)
    for moment in {*schedule.starts.values()}:
        for gpu in range(num_gpus):
            held = [
                job.share
                for job in jobs
                if schedule.gpus.get(job.name) == gpu
                and schedule.starts[job.name] <= moment < schedule.ends[job.name]
            ]
            assert sum(held, Fraction(0)) <= 1


@settings(max_examples=40)
@given(job_lists(), st.booleans())
def test_one_gpu_takes_the_sum_of_whole_jobs(jobs: list[Job], longest_first: bool) -> None:
    whole = [Job(job.name, job.seconds, WHOLE, job.needs) for job in jobs]
    assert list_schedule(whole, 1, longest_first).makespan == sum(job.seconds for job in jobs)


@settings(max_examples=40)
@given(job_lists(), st.integers(1, 5))
def test_list_scheduling_of_whole_jobs_takes_less_than_twice_the_bound(
    jobs: list[Job], num_gpus: int
) -> None:
    whole = [Job(job.name, job.seconds, WHOLE, job.needs) for job in jobs]
    assert list_schedule(whole, num_gpus).makespan <= (2 - 1 / num_gpus) * lower_bound(whole, num_gpus) + 1e-9


def test_lost_workers_cost_what_was_not_in_a_checkpoint() -> None:
    class Lost(random.Random):
        def __init__(self, *moments: float) -> None:
            super().__init__(0)
            self.moments = list(moments)

        def expovariate(self, lambd: float = 1.0) -> float:
            return self.moments.pop(0)

    assumed = Assumptions(start_seconds=10, failures_per_hour=1, detect_seconds=5)
    # 100 s with a checkpoint each 25 s; lost after 10 + 60 s with 50 s kept, then lost while it starts.
    assert with_failures(100, assumed, Lost(70, 4, 1e9)) == (70 + 5) + (4 + 5) + 10 + 50
    assert with_failures(100, Assumptions(start_seconds=10), Lost()) == 110
    # A long stage keeps a checkpoint each 5 minutes.
    assert with_failures(4000, assumed, Lost(1000, 1e9)) == 1000 + 5 + 10 + 4000 - 900


def test_the_busiest_minute_is_found() -> None:
    schedule = Schedule({"a": 0.0, "b": 60.0, "c": 90.0}, {"a": 60.0, "b": 180.0, "c": 120.0}, {})
    # 600 in the first minute; half of 1,200 and all of 300 in the second.
    assert busiest(schedule, {"a": 600, "b": 1200, "c": 300}) == pytest.approx(900 / 60)
