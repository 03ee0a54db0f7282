"""What a compression will do, as far as it is known before it runs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from flows.rounds.lookup import NotDoneError, look_up
from pkd_core.pipeline.compress import Compressed, run_compression
from pkd_core.pipeline.compress_plan import CompressionRun
from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord


@dataclass(frozen=True)
class Survey:
    """A compression before it runs.

    Attributes:
        plans: Those that are known already, in order.
        outcome: How it ended, if all of it is done.
    """

    plans: tuple[Plan, ...]
    outcome: Compressed | None


def survey_compression(run: CompressionRun) -> Survey:
    """Follow a compression through all that is done, without building anything.

    Raises:
        PkdError: A plan cannot be made.
    """
    plans: list[Plan] = []

    def note(plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        plans.append(plan)
        return look_up(plan, known)

    outcome = None
    with suppress(NotDoneError):
        outcome = run_compression(run, note)
    return Survey(tuple(plans), outcome)
