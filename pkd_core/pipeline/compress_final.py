"""The last stages of a compression: exports of the chosen student and of the teacher, their timing, and the card."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkd_core.pipeline.card_stages import CompressedStages, card_stage
from pkd_core.pipeline.compress_plan import CompressionRun
from pkd_core.pipeline.export_stages import export_stage
from pkd_core.pipeline.latency_stages import latency_stage
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stage import Stage


@dataclass(frozen=True)
class FinalStages:
    """What is made of the chosen student.

    Attributes:
        export: Its export.
        teacher_export: The teacher's; None of several teachers, which are no single model.
        latency: The timing of both.
        card: The page, the model card and the table.
    """

    export: Stage
    teacher_export: Stage | None
    latency: Stage
    card: Stage

    @property
    def all(self) -> list[Stage]:
        """All of them, each after its inputs."""
        exports = [self.export] if self.teacher_export is None else [self.export, self.teacher_export]
        return [*exports, self.latency, self.card]


def final_stages(run: CompressionRun, stages: Sequence[Stage], student: Stage) -> FinalStages:
    """Return the stages that come after a student was chosen.

    Args:
        run: The compression.
        stages: Those that trained and evaluated the students and the teacher.
        student: The chosen student.

    Raises:
        ConfigError: The task or its settings have no export.
    """
    task, hashes, models = run.inputs.tasks[run.task], run.inputs.raw_hashes[run.task], run.inputs.models
    settings, by_key = run.settings, {stage.key: stage for stage in stages}
    evaluations = {stage.inputs["model"]: stage for stage in stages if isinstance(stage.spec, EvaluationSpec)}
    teacher = next(by_key[key] for key, one in evaluations.items() if _method(one) == "teacher")
    exported = [student] if len(run.config.teachers) > 1 else [student, teacher]
    exports = [export_stage(task, settings, model, hashes) for model in exported]
    latency = latency_stage(task, hashes, settings, list(zip(exported, exports, strict=True)))
    of_student, of_teacher = evaluations[student.key], evaluations[teacher.key]
    card = card_stage(
        task,
        hashes,
        CompressedStages(
            tokens=by_key[of_student.inputs["tokens"]],
            teacher=of_teacher,
            student=of_student,
            others=[one for one in evaluations.values() if one not in (of_student, of_teacher)],
            exports=exports,
            latency=latency,
        ),
        teacher_name=models.teacher_name,
        has_own_teacher=bool(run.config.teachers),
        student_base=models.student.short_name,
        deploy_format=run.config.deploy_format,
        budget_ms=run.config.latency_ms,
    )
    return FinalStages(exports[0], exports[1] if len(exports) > 1 else None, latency, card)


def _method(evaluation: Stage) -> str:
    assert isinstance(evaluation.spec, EvaluationSpec), evaluation.key
    return evaluation.spec.method
