"""A search, round by round: train and score points, choose the best, keep what it has chosen, and report.

Whatever was trained before, by this search or by a run, is found in the store and not trained again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pkd_core.config.search import Point, Round, describe_point, read_by
from pkd_core.pipeline.facts import EvaluationFacts
from pkd_core.pipeline.plan import BuildPlan
from pkd_core.pipeline.search_plan import Search
from pkd_core.pipeline.search_report import TriedRoundStages, TriedStages, search_stage
from pkd_core.report.search_results import TriedPoint, TriedRound
from pkd_core.store.address import StageRecord
from pkd_core.store.fingerprint import fingerprint


@dataclass
class RoundInProgress:
    """A round that is being searched; a sampler calls `evaluate` with the points that it wants to try.

    Attributes:
        search: The search.
        round: The method and its grid.
        kept: What earlier rounds have chosen for the method.
        build: Builds a plan's stages.
        tried: The points so far, with their evaluations.
        records: The evaluations' records by key.
    """

    search: Search
    round: Round
    kept: Mapping[str, Any]
    build: BuildPlan
    tried: dict[str, TriedStages] = field(default_factory=dict)
    records: dict[str, StageRecord] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of a complete point."""
        return self.search.seeds(self.round.method)

    @property
    def name(self) -> str:
        """The round, and a hash of everything that its scores depend on."""
        run, inputs = self.search.run, self.search.inputs
        values = {
            "round": [self.round.method, {key: list(values) for key, values in self.round.grid.items()}],
            "run": run.model_dump(mode="json", exclude={"model", "student_model", "teachers", "methods"}),
            "kept": dict(self.kept),
            "holdout": self.search.holdout.model_dump() if self.search.holdout else None,
            "layers": self.search.num_layers,
        }
        models = {"teacher": inputs.models.teacher.weights, "student": inputs.models.student.weights}
        hashes = {**models, **inputs.raw_hashes[self.search.task]}
        return f"{self.search.task}-{self.round.method}-{fingerprint('search', 1, values, hashes)}"

    def evaluate(self, points: Sequence[Point], seeds: Sequence[int]) -> list[dict[int, float]]:
        """Train points with some seeds, and return the scores of each by seed.

        Raises:
            PkdError: A stage failed.
        """
        plan, evaluations = self.search.plan_points(self.round.method, self.kept, points, seeds)
        records = self.build(plan, {})
        for point, of_point in zip(points, evaluations, strict=True):
            tried = self.tried.setdefault(describe_point(point), TriedStages(point, {}))
            tried.evaluations.update(of_point)
            self.records |= {stage.key: records[stage.key] for stage in of_point.values()}
        return [
            {seed: _score(records[stage.key]) for seed, stage in of_point.items()} for of_point in evaluations
        ]

    @property
    def tried_stages(self) -> TriedRoundStages:
        """What was tried, as the search's report is given it."""
        return TriedRoundStages(self.round.method, self.kept, list(self.tried.values()))

    def result(self) -> TriedRound:
        """Return what was tried."""
        points = [
            TriedPoint(
                tried.point,
                {seed: _score(self.records[stage.key]) for seed, stage in tried.evaluations.items()},
            )
            for tried in self.tried.values()
        ]
        return TriedRound(self.round.method, self.kept, tuple(points))


# Tries points of a round.
Sampler = Callable[[RoundInProgress], None]


@dataclass(frozen=True)
class SearchOutcome:
    """How a search ended.

    Attributes:
        rounds: What was tried.
        report: The report of the methods with their best settings, trained on all of train.
        search_report: The report of the search.
    """

    rounds: tuple[TriedRound, ...]
    report: StageRecord
    search_report: StageRecord


def try_grid(progress: RoundInProgress) -> None:
    """Try every point of a round, all in one plan."""
    progress.evaluate(progress.round.points, progress.seeds)


def run_search(
    search: Search,
    build: BuildPlan,
    sample: Sampler = try_grid,
    show: Callable[[TriedRound], None] = lambda _: None,
) -> SearchOutcome:
    """Run the rounds of a search, then the best settings of each method, and write both reports.

    Args:
        search: What is searched.
        build: Builds a plan's stages.
        sample: Tries points of a round.
        show: Called after each round.

    Raises:
        PkdError: A stage failed; what was published before stays, and the next call continues from there.
    """
    kept: dict[str, Any] = {}
    ended: list[RoundInProgress] = []
    for one in search.rounds:
        progress = RoundInProgress(search, one, read_by(one.method, kept), build)
        sample(progress)
        result = progress.result()
        show(result)
        kept |= one.kept(result.best.settings)
        ended.append(progress)
    rounds = tuple(progress.result() for progress in ended)
    best: dict[str, dict[str, Any]] = {
        one.method: one.settings for one in rounds if one.method in search.run.methods
    }
    final = search.plan_final(best)
    records = dict(build(final, {}))
    for progress in ended:
        records |= progress.records
    stages = [planned.stage for planned in final.stages]
    stage = search_stage(search, [progress.tried_stages for progress in ended], stages, best)
    built = build(search.plan_report(stage, records), records)
    return SearchOutcome(rounds, records[stages[-1].key], built[stage.key])


def _score(record: StageRecord) -> float:
    return EvaluationFacts.of(record).score
