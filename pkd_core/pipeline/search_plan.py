"""The plans of a search: one for the points of a round, and one for what is reported in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkd_core.config.search import TEACHER, Point, Round, SearchConfig, describe_point, searched_rounds
from pkd_core.config.settings import RunConfig
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan, RunInputs, plan_stages
from pkd_core.pipeline.report_stages import describe_preset, report_over
from pkd_core.pipeline.search_specs import HoldoutSpec
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord

# Marks the stages that a search's points share, where they are made of a part of train.
HELD_OUT = "held out"
# A point's evaluations, by seed.
Evaluations = dict[int, Stage]


@dataclass(frozen=True)
class Search:
    """A search over one task and one depth.

    Attributes:
        run: The methods, the seeds of each point, the model, and the settings that are the same for all points.
        config: What is tried, and what it is chosen by.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        inputs: What all stages are made from.
        deep: Whether to hash every published file.
    """

    run: RunConfig
    config: SearchConfig
    workspace: Path
    inputs: RunInputs
    deep: bool = False

    @property
    def task(self) -> str:
        """The task's name."""
        return self.run.tasks[0]

    @property
    def num_layers(self) -> int:
        """The students' depth."""
        return (self.run.student_layers or (self.inputs.models.student.num_layers // 2,))[0]

    @property
    def rounds(self) -> list[Round]:
        """The rounds, in order."""
        return searched_rounds(self.config, self.run)

    @property
    def holdout(self) -> HoldoutSpec | None:
        """The part of the training rows that is chosen by; None to choose on dev."""
        if self.config.choose_on == "dev":
            return None
        return HoldoutSpec(fraction=self.config.holdout, seed=self.config.seed)

    def seeds(self, method: str) -> tuple[int, ...]:
        """Return the seeds of each point of a method's round; a teacher has its own one, among its settings."""
        return (0,) if method == TEACHER else self.run.seeds

    def check(self) -> None:
        """Check, before the first round trains anything, that all methods can be trained.

        Raises:
            ConfigError: A method, a setting or the depth does not fit.
        """
        for method in self.run.methods:
            self._dag(self.run_of(method, {}), self.holdout)

    def num_points(self, one: Round) -> int:
        """Return how many points of a round are tried, at most."""
        num_points = len(one.points)
        return num_points if self.config.sampler == "grid" else min(num_points, self.config.trials)

    def run_of(self, method: str, settings: Mapping[str, Any]) -> RunConfig:
        """Return the run that trains one method with some settings, as `pkd run` would."""
        given = self.run.settings | dict(settings)
        changed = {"methods": (method,), "student_layers": (self.num_layers,), "settings": given}
        return self.run.model_copy(update=changed)

    def plan_points(
        self, method: str, kept: Mapping[str, Any], points: Sequence[Point], seeds: Sequence[int]
    ) -> tuple[Plan, list[Evaluations]]:
        """Plan the trainings of some points with some seeds.

        Args:
            method: "teacher", or a student's method.
            kept: What earlier rounds have chosen.
            points: The settings to try.
            seeds: Seeds of each.

        Returns:
            The plan, and the evaluations of each point.
        """
        stages: dict[str, Stage] = {}
        evaluations = []
        for point in points:
            of_point = self._trial_stages(method, {**kept, **point}, seeds, describe_point(point))
            for stage in of_point:
                assert stages.get(stage.key, stage) == stage, f"two stages are {stage.key}"
                stages[stage.key] = stage
            found = [stage for stage in of_point if stage.kind is StageKind.EVALUATION]
            evaluations.append(dict(zip(seeds, found, strict=True)))
        return self._plan(list(stages.values())), evaluations

    def plan_final(self, best: Mapping[str, Mapping[str, Any]]) -> Plan:
        """Plan each method's best settings on all of train, with the report over them last.

        Args:
            best: Everything that was chosen, by method.
        """
        stages: dict[str, Stage] = {}
        presets: dict[str, str] = {}
        for method, settings in best.items():
            run = self.run_of(method, settings)
            for stage in self._dag(run, None):
                stages[stage.key] = stage
                if stage.kind is StageKind.EVALUATION:
                    presets[stage.key] = describe_preset(run, stage, self.inputs.models)
        report = report_over(presets, list(stages.values()), {}, self.inputs.models)
        return self._plan([*stages.values(), report])

    def plan_report(self, stage: Stage, known: Mapping[str, StageRecord]) -> Plan:
        """Plan the report of the search, given the records of all that it reads."""
        return self._plan([stage], known)

    def _trial_stages(
        self, method: str, settings: Mapping[str, Any], seeds: Sequence[int], label: str
    ) -> list[Stage]:
        """Return the stages of one point, with the keys of a trial; nothing that its scores do not need."""
        if method == TEACHER:
            run, wanted = self.run_of("finetune", settings), TEACHER
        else:
            run, wanted = self.run_of(method, settings).model_copy(update={"seeds": tuple(seeds)}), method
        stages = _needed(self._dag(run, self.holdout), wanted)
        own = (StageKind.EVALUATION, StageKind.TEACHER if method == TEACHER else StageKind.STUDENT)
        shared = HELD_OUT if self.holdout else ""
        trials = {stage.key: replace(stage, trial=label if stage.kind in own else shared) for stage in stages}
        return [
            replace(trial, inputs={part: trials[key].key for part, key in trial.inputs.items()})
            for trial in trials.values()
        ]

    def _dag(self, run: RunConfig, holdout: HoldoutSpec | None) -> list[Stage]:
        """Return a run's stages but its report."""
        inputs = self.inputs
        tasks = list(inputs.tasks.values())
        *stages, _report = build_dag(run, tasks, inputs.raw_hashes, inputs.models, inputs.machine, holdout)
        return stages

    def _plan(self, stages: Sequence[Stage], known: Mapping[str, StageRecord] | None = None) -> Plan:
        return plan_stages(self.run, self.workspace, self.inputs, stages, self.deep, known or {})


def _needed(stages: Sequence[Stage], method: str) -> list[Stage]:
    """Return a method's evaluations and all that they need, in order."""
    needed: set[str] = set()
    for stage in reversed(stages):
        is_wanted = isinstance(stage.spec, EvaluationSpec) and stage.spec.method == method
        if is_wanted or stage.key in needed:
            needed |= {stage.key, *stage.inputs.values()}
    return [stage for stage in stages if stage.key in needed]
