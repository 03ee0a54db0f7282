"""What a simulated run asks of the servers and the store beside its GPUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.simulation.jobs import stage_name
from benchmarks.simulation.planned_search import FINAL, REPORT, PlannedSearch
from benchmarks.simulation.schedule import Schedule
from benchmarks.simulation.stage_seconds import logged_points, state_bytes
from pkd_core.pipeline.kinds import StageKind

# Assumed: GPUs of a machine, which share its cache of teacher states.
GPUS_A_MACHINE = 8


@dataclass(frozen=True)
class Demand:
    """What is asked in the busiest minute, and in all.

    Attributes:
        stages_a_second: Stages that start or end, of which Prefect's server is told.
        points_a_second: Values that trainings send to MLflow, if nothing holds them up.
        points: These in all.
        state_bytes: Bytes of teacher states that machines fetch from the store: each what its students read, once.
    """

    stages_a_second: float
    points_a_second: float
    points: int
    state_bytes: float


def demand_of(searches: Sequence[PlannedSearch], schedule: Schedule) -> Demand:
    """Return what a schedule of searches asks of everything that is not a GPU."""
    points: dict[str, float] = {}
    fetched: set[tuple[int, str]] = set()
    sizes: dict[str, int] = {}
    for search in searches:
        for one in search.rounds:
            is_held_out = one.name not in (FINAL, REPORT)
            names = {stage.key: stage_name(stage) for stage in one.stages}
            for stage in one.stages:
                name = stage_name(stage)
                points[name] = logged_points(stage, is_held_out)
                if stage.kind is StageKind.STUDENT and "states" in stage.inputs:
                    states = names[stage.inputs["states"]]
                    sizes[states] = state_bytes(stage.task)
                    fetched.add((schedule.gpus[name] // GPUS_A_MACHINE, states))
    return Demand(
        stages_a_second=busiest(schedule, dict.fromkeys(points, 1.0)),
        points_a_second=busiest(schedule, points),
        points=int(sum(points.values())),
        state_bytes=float(sum(sizes[states] for _, states in fetched)),
    )


def busiest(schedule: Schedule, amounts: Mapping[str, float], window: float = 60.0) -> float:
    """Return how much is done in a second of the busiest window, if a job's amount is spread evenly over its time.

    Args:
        schedule: When jobs run.
        amounts: Of some jobs, by name.
        window: Its seconds; windows follow each other from the beginning.
    """
    edges_W = np.arange(0.0, schedule.makespan + window, window)
    done_W = np.zeros_like(edges_W)
    for name, amount in amounts.items():
        if amount:
            start, end = schedule.starts[name], schedule.ends[name]
            done_W += amount * np.clip((edges_W - start) / (end - start), 0.0, 1.0)
    return float(np.diff(done_W).max(initial=0.0) / window)
