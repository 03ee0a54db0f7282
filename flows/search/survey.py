"""What a search will do, as far as it is known before it runs: later rounds depend on what earlier ones choose."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from flows.rounds.lookup import NotDoneError, look_up
from pkd_core.config.search import TEACHER
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.search import RoundInProgress, Sampler, SearchOutcome, run_search
from pkd_core.pipeline.search_plan import Search
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStatus

_END = "best of each method"


@dataclass(frozen=True)
class SurveyedPart:
    """A round of a search, or its end.

    Attributes:
        name: The method, or "best of each method", trained on all of train.
        num_points: How many settings are tried.
        num_trainings: How many models are trained, those that are done among them.
        num_done: How many of them are done; None where that depends on rounds that are not.
    """

    name: str
    num_points: int
    num_trainings: int
    num_done: int | None


@dataclass(frozen=True)
class Survey:
    """A search before it runs.

    Attributes:
        parts: The rounds, then the end.
        plans: Those that are known already.
        outcome: How the search ended, if all of it is done.
    """

    parts: tuple[SurveyedPart, ...]
    plans: tuple[Plan, ...]
    outcome: SearchOutcome | None


def survey_search(search: Search, sample: Sampler) -> Survey:
    """Follow a search through all that is done, without building anything.

    Args:
        search: The search.
        sample: Tries points of a round.

    Raises:
        PkdError: A plan cannot be made.
    """
    plans: dict[str, list[Plan]] = {}
    current = _END

    def follow(progress: RoundInProgress) -> None:
        nonlocal current
        current = progress.round.method
        sample(progress)
        current = _END

    def note(plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        plans.setdefault(current, []).append(plan)
        return look_up(plan, known)

    outcome = None
    with suppress(NotDoneError):
        outcome = run_search(search, note, follow)
    every = tuple(plan for of_part in plans.values() for plan in of_part)
    return Survey(tuple(_parts(search, plans)), every, outcome)


def _parts(search: Search, plans: Mapping[str, Sequence[Plan]]) -> Iterator[SurveyedPart]:
    has_teacher = False
    for one in search.rounds:
        num_points = search.num_points(one)
        num_trainings = num_points * len(search.seeds(one.method))
        kinds = {StageKind.TEACHER if one.method == TEACHER else StageKind.STUDENT}
        if not has_teacher and one.method not in (TEACHER, "finetune"):
            # The first round that distils trains the teacher of all.
            num_trainings += 1
            kinds.add(StageKind.TEACHER)
        has_teacher = has_teacher or StageKind.TEACHER in kinds
        yield SurveyedPart(one.method, num_points, num_trainings, _num_done(plans.get(one.method), kinds))
    num_best = len(search.run.methods)
    kinds = {StageKind.TEACHER, StageKind.STUDENT}
    done = _num_done(plans.get(_END), kinds)
    yield SurveyedPart(_END, num_best, num_best * len(search.run.seeds) + 1, done)


def _num_done(plans: Sequence[Plan] | None, kinds: Collection[StageKind]) -> int | None:
    """Return how many trainings of some plans are done; None where no plan is known."""
    if plans is None:
        return None
    done = {
        one.stage.address
        for plan in plans
        for one in plan.stages
        if one.stage.kind in kinds and one.status is StageStatus.DONE
    }
    return len(done)
