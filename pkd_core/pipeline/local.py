"""Runs a plan one stage after another in this process: for notebooks, and for machines without Prefect."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.build import TrackStage, build
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord


@contextmanager
def log_progress(stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
    """Track a stage by log lines alone."""
    yield LogObserver(stage.key)


def run_plan(
    plan: Plan, options: RunOptions | None = None, track: TrackStage = log_progress
) -> dict[str, StageRecord]:
    """Build every stage of a plan that is not done, and return all records by the stages' keys.

    Args:
        plan: What is to be built.
        options: How; the defaults if None.
        track: Opens an observer for each stage that is really computed.

    Raises:
        PkdError: A stage failed; what was published before stays, and the next call continues from there.
    """
    with plan.recorded():
        return build_stages(plan, options or RunOptions(), track)


def build_stages(
    plan: Plan,
    options: RunOptions,
    track: TrackStage = log_progress,
    known: Mapping[str, StageRecord] = MappingProxyType({}),
) -> dict[str, StageRecord]:
    """Build every stage of a plan that is not done, without a record of the run, as a part of a search.

    Args:
        plan: What is to be built.
        options: How.
        track: Opens an observer for each stage that is really computed.
        known: Records of inputs that are not among the plan's stages, by key.

    Raises:
        PkdError: A stage failed.
    """
    context = plan.context(options)
    records: dict[str, StageRecord] = {}
    for planned in plan.stages:
        inputs = {
            part: records[key] if key in records else known[key] for part, key in planned.stage.inputs.items()
        }
        records[planned.stage.key] = build(planned.stage, inputs, context, track)
    return records
