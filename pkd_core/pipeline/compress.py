"""A compression, round by round: find the depth that is fast enough, train its students, and choose the best on dev.

Whatever was computed before, by this compression or by a run, is found in the store and not computed again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pkd_core.latency.candidates import Choice, choose_depth, read_candidates
from pkd_core.pipeline.compress_final import FinalStages, final_stages
from pkd_core.pipeline.compress_plan import CompressionRun
from pkd_core.pipeline.facts import EvaluationFacts
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import BuildPlan
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.catalog import local_copy


@dataclass(frozen=True)
class Compressed:
    """How a compression ended.

    Attributes:
        num_layers: Depth of the students.
        choice: How a latency has led to that depth; None if none was given.
        student: The chosen student.
        final: What was made of it.
        report: The report of all that were trained, as of `pkd run`.
        records: The records of all stages by key.
    """

    num_layers: int
    choice: Choice | None
    student: Stage
    final: FinalStages
    report: StageRecord
    records: Mapping[str, StageRecord]

    def folder(self, stage: Stage) -> Path:
        """Return where a stage is published, relative to the workspace."""
        return Path(self.records[stage.key].path)


def run_compression(
    run: CompressionRun, build: BuildPlan, show: Callable[[str], None] = lambda _: None
) -> Compressed:
    """Run the rounds of a compression.

    Args:
        run: What is compressed.
        build: Builds a plan's stages.
        show: Called with a sentence about each choice.

    Raises:
        ConfigError: No student keeps to the latency.
        PkdError: A stage failed; what was published before stays, and the next call continues from there.
    """
    choice = _choose_depth(run, build)
    if choice is not None:
        show(choice.sentence)
    num_layers = choice.num_layers if choice else run.config.student_layers or run.half_of_the_layers
    plan = run.plan_students(num_layers)
    stages = [planned.stage for planned in plan.stages]
    # What cannot be exported is refused before hours are spent, whichever student it will be.
    final_stages(run, stages, next(stage for stage in stages if stage.kind is StageKind.STUDENT))
    records = dict(build(plan, {}))
    student = choose_student(stages, records)
    show(f"{student.key} is the best on dev.")
    final = final_stages(run, stages, student)
    records |= build(run.plan(final.all, records), records)
    return Compressed(num_layers, choice, student, final, records[stages[-1].key], records)


def _choose_depth(run: CompressionRun, build: BuildPlan) -> Choice | None:
    """Return the deepest student that keeps to the latency; None if no latency is given."""
    if run.config.latency_ms is None:
        return None
    plan = run.plan_candidates()
    (record,) = build(plan, {}).values()
    return choose_depth(read_candidates(local_copy(run.workspace / record.path)), run.config.latency_ms)


def choose_student(stages: Sequence[Stage], records: Mapping[str, StageRecord]) -> Stage:
    """Return the student of the method with the best mean dev score over its seeds, of these the best one.

    Of equal methods it is the first one that distils, as those students mostly differ less from seed to seed; of equal
    seeds it is the first. No test score is looked at.

    Args:
        stages: Those of a run with at least one student.
        records: The evaluations' records by key.
    """
    by_key = {stage.key: stage for stage in stages}
    of_method: dict[str, list[tuple[float, Stage]]] = {}
    for stage in stages:
        if isinstance(stage.spec, EvaluationSpec) and stage.spec.method != "teacher":
            score = EvaluationFacts.of(records[stage.key]).score
            of_method.setdefault(stage.spec.method, []).append((score, by_key[stage.inputs["model"]]))
    best = max(of_method, key=lambda method: (_mean(of_method[method]), method != "finetune"))
    return max(of_method[best], key=lambda scored: scored[0])[1]


def _mean(scored: Sequence[tuple[float, Stage]]) -> float:
    return fmean(score for score, _ in scored)
