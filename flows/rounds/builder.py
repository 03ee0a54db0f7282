"""Builds plans in the current flow run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.placement.submission import Future, Submit
from flows.rounds.lookup import records_of
from flows.summary import name_failures
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import PkdError
from pkd_core.pipeline.growing_record import GrowingRecord
from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStatus
from tasks.completeness import find_incomplete


@dataclass
class PlanBuilder:
    """Builds plans in the current flow run, and counts what it builds.

    Attributes:
        options: How.
        submit: Submits a stage.
        begin: Called with each plan before its stages are built.
        record: Where the plans are recorded.
        remedy: What to do about stages that failed, as the end of a sentence.
        num_built: Stages that were submitted so far.
    """

    options: RunOptions
    submit: Submit
    begin: Callable[[Plan], None]
    record: GrowingRecord
    remedy: str
    num_built: int = 0

    def build(self, plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        """Build what is not done of a plan, or what MLflow lacks a part of, and return all records.

        Raises:
            PkdError: A stage failed: names each one that did.
        """
        self.record.add(plan)
        self.begin(plan)
        incomplete = find_incomplete(plan)
        records = records_of(plan)
        context = plan.context(self.options)
        inputs: dict[str, Any] = {key: record.to_json() for key, record in {**known, **records}.items()}
        futures: dict[str, Future] = {}
        for planned in plan.stages:
            key = planned.stage.key
            if planned.status is not StageStatus.DONE or key in incomplete:
                futures[key] = self.submit(planned.stage, {**inputs, **futures}, context, refresh=True)
        for future in futures.values():
            future.wait()
        self.num_built += len(futures)
        if failures := name_failures(futures, (planned.stage for planned in plan.stages)):
            causes = "; ".join(f"{key}: {reason.removesuffix('.')}" for key, reason in failures.items())
            raise PkdError(
                f"{len(failures)} of {len(futures)} stages failed, and nothing is chosen without them: {causes}; "
                f"{self.remedy}"
            )
        built = {key: StageRecord.from_json(future.result()) for key, future in futures.items()}
        return {**records, **built}
