"""Runs a plan one stage after another in this process: for notebooks, and for machines without Prefect."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pkd_core.pipeline.build import Watch, build
from pkd_core.pipeline.job import Context
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord


@contextmanager
def log_progress(stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
    """Observe a stage by log lines alone."""
    yield LogObserver(stage.key)


def run_plan(plan: Plan, context: Context, watch: Watch = log_progress) -> dict[str, StageRecord]:
    """Build every stage of a plan that is not done, and return all records by the stages' keys.

    Raises:
        PkdError: A stage failed; what was published before stays, and the next call goes on from there.
    """
    records: dict[str, StageRecord] = {}
    with plan.noted(context.workspace):
        for planned in plan.stages:
            inputs = {part: records[key] for part, key in planned.stage.inputs.items()}
            records[planned.stage.key] = build(planned.stage, inputs, context, watch)
    return records
