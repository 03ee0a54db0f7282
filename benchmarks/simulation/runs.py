"""Simulated runs of all searches, as tables and a picture."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.simulation.demand import demand_of
from benchmarks.simulation.jobs import Assumptions, jobs_of
from benchmarks.simulation.planned_search import PlannedSearch
from benchmarks.simulation.schedule import gpu_seconds, list_schedule, lower_bound

GPUS = (1, 8, 16, 32, 64, 128, 256, 512, 1000)
SOME_GPUS = (8, 64, 256, 1000)
VARIANTS: Mapping[str, Assumptions] = {
    "a worker process starts in 15 s": Assumptions(),
    "in 0.2 s, as if processes were kept": Assumptions(start_seconds=0.165),
    "in 5 s": Assumptions(start_seconds=5.0),
    "in 40 s": Assumptions(start_seconds=40.0),
    "2 students a GPU": Assumptions(students_per_gpu=2),
    "4 students a GPU": Assumptions(students_per_gpu=4),
    "4 students a GPU, no faster together": Assumptions(students_per_gpu=4, shared_gain=1.0),
    "a worker lost every 10 busy hours": Assumptions(failures_per_hour=0.1),
    "a worker lost every busy hour": Assumptions(failures_per_hour=1.0),
    "submitting takes twice as long": Assumptions(submit_seconds=0.15),
    "rounds wait only for what they need": Assumptions(independent_rounds=True),
    "GPUs of a tenth of the speed": Assumptions(slowdown=10.0),
}


@dataclass(frozen=True)
class Simulated:
    """How long a run takes on some GPUs, in seconds.

    Attributes:
        num_gpus: Number of GPUs.
        first_ready: Makespan if stages start in the order in which they become ready.
        longest_first: Makespan if the stage with the longest chain of followers starts first.
        bound: Below this no schedule can be.
        computed: GPU seconds in which something is computed.
    """

    num_gpus: int
    first_ready: float
    longest_first: float
    bound: float
    computed: float

    @property
    def efficiency(self) -> float:
        """The part of the paid GPU time in which something is computed, in the order of readiness."""
        return self.computed / (self.num_gpus * self.first_ready)

    @property
    def gpu_hours(self) -> float:
        """The paid GPU time, in the order of readiness."""
        return self.num_gpus * self.first_ready / 3600


def simulate(
    searches: Sequence[PlannedSearch], given: Assumptions, numbers: Iterable[int]
) -> Iterator[Simulated]:
    """Yield a run of searches on each number of GPUs."""
    jobs = jobs_of(searches, given)
    bare = replace(given, start_seconds=0.0, failures_per_hour=0.0, students_per_gpu=1)
    computed = gpu_seconds(jobs_of(searches, bare))
    for number in numbers:
        first_ready, longest_first = (
            list_schedule(jobs, number, is_first).makespan for is_first in (False, True)
        )
        yield Simulated(number, first_ready, longest_first, lower_bound(jobs, number), computed)


def table_of_runs(runs: Iterable[Simulated]) -> str:
    """Return runs as a Markdown table."""
    rows = (
        (
            f"{run.num_gpus:,}",
            *(_minutes(seconds) for seconds in (run.first_ready, run.longest_first, run.bound)),
            f"{run.efficiency:.2f}",
            f"{run.gpu_hours:.0f}",
        )
        for run in runs
    )
    return _table(("GPUs", "as Ray does", "longest first", "bound", "efficiency", "GPU hours"), rows)


def table_of_variants(searches: Sequence[PlannedSearch]) -> str:
    """Return the minutes under other assumptions as a Markdown table."""
    rows = (
        (name, *(_minutes(run.first_ready) for run in simulate(searches, given, SOME_GPUS)))
        for name, given in VARIANTS.items()
    )
    return _table(("minutes", *(f"{number:,} GPUs" for number in SOME_GPUS)), rows)


def table_of_demand(searches: Sequence[PlannedSearch]) -> str:
    """Return what the servers and the store are asked for as a Markdown table."""
    jobs = jobs_of(searches, Assumptions())
    rows = []
    for number in (1, *SOME_GPUS):
        demand = demand_of(searches, list_schedule(jobs, number))
        rows.append(
            (
                f"{number:,}",
                f"{demand.stages_a_second:.1f}",
                f"{demand.points_a_second:,.0f}",
                f"{demand.points / 1e6:,.0f} million",
                f"{demand.state_bytes / 1e9:,.0f} GB",
            )
        )
    headings = ("GPUs", "stages a second", "points a second", "points in all", "states that are fetched")
    return _table(headings, rows)


def draw(runs: Sequence[Simulated], path: Path) -> None:
    """Draw makespan and paid GPU hours against the number of GPUs, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    times, hours = figure.subplots(1, 2)
    numbers = [run.num_gpus for run in runs]
    for name, seconds in (
        ("as Ray does", [run.first_ready for run in runs]),
        ("longest first", [run.longest_first for run in runs]),
    ):
        times.plot(numbers, [one / 60 for one in seconds], marker="o", markersize=4, label=name)
    times.plot(numbers, [run.bound / 60 for run in runs], color="black", linestyle=":", label="lower bound")
    hours.plot(numbers, [run.gpu_hours for run in runs], marker="o", markersize=4, label="paid")
    computed = [run.computed / 3600 for run in runs]
    hours.plot(numbers, computed, color="black", linestyle=":", label="computing")
    for axes, title in ((times, "minutes"), (hours, "GPU hours")):
        axes.set(xscale="log", yscale="log", xlabel="GPUs", title=title)
        axes.set_xticks(numbers, [f"{number:,}" for number in numbers], fontsize="small")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
