"""Stage: the report of a search, over the evaluations of all that it has tried and chosen."""

from collections.abc import Mapping

from pkd_core.evaluation.result import EvaluationResult, read_result
from pkd_core.pipeline.facts import SearchFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.report.search_results import (
    FinalScore,
    HeldOut,
    SearchResult,
    TriedPoint,
    TriedRound,
    best_round,
)
from pkd_core.report.search_write import write_search_report


def report_search(job: Job, spec: SearchSpec) -> SearchFacts:
    """Write `search.md`, `.json`, `.png` and, for terminals, `.txt`."""
    evaluations = {key: read_result(folder) for key, folder in job.inputs.items()}
    result = search_result(spec, evaluations)
    write_search_report(job.work, result)
    chosen = best_round([one for one in result.rounds if one.method == result.winner.method])
    return SearchFacts(best=result.winner.method, chosen_by=chosen.best.mean, score=result.winner.point.mean)


def search_result(spec: SearchSpec, evaluations: Mapping[str, EvaluationResult]) -> SearchResult:
    """Return a search's result, given the evaluations by key."""

    def scores(keys: Mapping[int, str]) -> dict[int, float]:
        return {seed: evaluations[key].score for seed, key in keys.items()}

    tried = next(iter(spec.rounds[0].points[0].evaluations.values()))
    final = next(iter(spec.finals[0].evaluations.values()))
    return SearchResult(
        task=spec.task,
        num_layers=spec.num_layers,
        metric=evaluations[tried].selection.partition("/")[2],
        held_out=HeldOut(spec.holdout.fraction, spec.holdout.seed) if spec.holdout else None,
        num_chosen_by=evaluations[tried].num_dev,
        num_dev=evaluations[final].num_dev,
        sampler=spec.sampler,
        rounds=tuple(
            TriedRound(
                one.method,
                one.kept,
                tuple(TriedPoint(point.settings, scores(point.evaluations)) for point in one.points),
            )
            for one in spec.rounds
        ),
        finals=tuple(
            FinalScore(one.method, one.settings, scores(one.evaluations), one.command) for one in spec.finals
        ),
    )
