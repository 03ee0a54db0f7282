"""The stage that reports a compression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pkd_core.data.task import Task
from pkd_core.latency.result import Format
from pkd_core.pipeline.card_specs import CardSpec
from pkd_core.pipeline.sources import raw_sources
from pkd_core.pipeline.stage import Stage, make_stage

TOKENS, LATENCY = "tokens", "latency"


@dataclass(frozen=True)
class CompressedStages:
    """The stages that a compression consists of.

    Attributes:
        tokens: The student's tokens.
        teacher: The teacher's evaluation.
        student: The chosen student's.
        others: Those of all other students.
        exports: The exports of the student and of the teacher; of others too, or of none.
        latency: The timing of what was exported; None if nothing was timed.
    """

    tokens: Stage
    teacher: Stage
    student: Stage
    others: Sequence[Stage]
    exports: Sequence[Stage]
    latency: Stage | None


def card_stage(
    task: Task,
    raw_hashes: Mapping[str, str],
    stages: CompressedStages,
    *,
    teacher_name: str,
    has_own_teacher: bool,
    student_base: str,
    deploy_format: Format = "onnx-int8",
    budget_ms: float | None = None,
) -> Stage:
    """Return the stage "card", which writes `compression.json`, `compression.html`, `compression.txt` and `README.md`.

    Args:
        task: The task, of whose final split it shows texts.
        raw_hashes: Hash of each of its raw files, by split.
        stages: What it reads.
        teacher_name: Name of the given classifier, or of the pretrained model that the teacher was fine-tuned from:
            not a path, which would be of one machine only.
        has_own_teacher: Whether the teacher was given.
        student_base: Name of the model that the student's first layers are of.
        deploy_format: What the student is to be used in; if int8 was refused, it is ONNX in float32.
        budget_ms: The most milliseconds that p99 should take, if that was asked for.
    """
    evaluations = {stage.inputs["model"]: stage for stage in (stages.teacher, stages.student, *stages.others)}
    exports = {evaluations[export.inputs["model"]].key: export for export in stages.exports}
    spec = CardSpec(
        teacher=stages.teacher.key,
        student=stages.student.key,
        others=tuple(stage.key for stage in stages.others),
        exports={key: export.key for key, export in exports.items()},
        teacher_name=teacher_name,
        has_own_teacher=has_own_teacher,
        student_base=student_base,
        deploy_format=deploy_format,
        budget_ms=budget_ms,
    )
    inputs = {TOKENS: stages.tokens, **({LATENCY: stages.latency} if stages.latency else {})}
    inputs |= {stage.key: stage for stage in (*evaluations.values(), *exports.values())}
    return make_stage(task.name, "card", spec, inputs, raw_sources(task, raw_hashes))
