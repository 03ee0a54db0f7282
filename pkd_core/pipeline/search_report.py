"""The stage that reports a search: which evaluations it reads, and what of them was tried and chosen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pkd_core.config.search import TEACHER, Point, read_by
from pkd_core.pipeline.search_plan import Search
from pkd_core.pipeline.search_specs import FinalSpec, RoundSpec, SearchSpec, TriedSpec
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stage import Stage, make_stage


@dataclass(frozen=True)
class TriedStages:
    """A point, and its evaluations by seed."""

    point: Point
    evaluations: dict[int, Stage]

    @property
    def spec(self) -> TriedSpec:
        """The point as the report's specification has it."""
        keys = {seed: stage.key for seed, stage in self.evaluations.items()}
        return TriedSpec(settings=dict(self.point), evaluations=keys)


@dataclass(frozen=True)
class TriedRoundStages:
    """A round: its method, what earlier rounds had chosen for it, and its points."""

    method: str
    kept: Mapping[str, Any]
    tried: Sequence[TriedStages]

    @property
    def spec(self) -> RoundSpec:
        """The round as the report's specification has it."""
        points = [tried.spec.model_dump() for tried in self.tried]
        return RoundSpec.model_validate({"method": self.method, "kept": dict(self.kept), "points": points})


def search_stage(
    search: Search,
    rounds: Sequence[TriedRoundStages],
    final: Sequence[Stage],
    best: Mapping[str, Mapping[str, Any]],
) -> Stage:
    """Return the stage that reports a search.

    Args:
        search: The search.
        rounds: What was tried.
        final: The stages that train each method with its best settings.
        best: Those settings by method.
    """
    model = search.inputs.models.teacher
    finals = list(_finals(search, final, best))
    spec = SearchSpec(
        task=search.task,
        num_layers=search.num_layers,
        base_model=model.short_name,
        base_model_digest=model.weights,
        holdout=search.holdout,
        sampler=search.config.sampler,
        rounds=tuple(one.spec for one in rounds),
        finals=tuple(finals),
    )
    keys = {key for one in finals for key in one.evaluations.values()}
    evaluations = {stage.key: stage for stage in final if stage.key in keys}
    evaluations |= {
        stage.key: stage for one in rounds for tried in one.tried for stage in tried.evaluations.values()
    }
    return make_stage("reports", "search", spec, evaluations, {})


def _finals(
    search: Search, final: Sequence[Stage], best: Mapping[str, Mapping[str, Any]]
) -> Iterator[FinalSpec]:
    evaluations: dict[str, dict[int, str]] = {}
    for stage in final:
        if isinstance(stage.spec, EvaluationSpec):
            evaluations.setdefault(stage.spec.method, {})[stage.spec.seed or 0] = stage.key
    for method, of_method in evaluations.items():
        settings, command = dict(best.get(method, {})), ""
        if method == TEACHER:
            settings = {key: value for one in best.values() for key, value in read_by(TEACHER, one).items()}
        else:
            run = search.run_of(method, settings)
            # Not the folder of a model, which differs from machine to machine.
            command = search.inputs.models.command_of(run)
        values = {"method": method, "settings": settings, "evaluations": of_method, "command": command}
        yield FinalSpec.model_validate(values)
