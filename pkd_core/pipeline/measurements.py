"""The stages that measure students and teachers: their scores, their speed, and how far their states are apart."""

from collections.abc import Mapping
from types import MappingProxyType

from pkd_core.config.settings import Settings, SpeedConfig
from pkd_core.data.task import Task
from pkd_core.pipeline.models import Models
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.sources import PRETRAINED, TEACHER_PRETRAINED
from pkd_core.pipeline.specs import DistancesSpec, EvaluationSpec, SpeedSpec, StudentSpec, TrainingSpec
from pkd_core.pipeline.stage import Stage, make_stage

_DISTANCES = "distances-"


def speed_stage(
    task: Task,
    num_layers: int,
    timing: SpeedConfig,
    tokens: Stage,
    models: Models,
    machine: str,
    teacher: Stage,
) -> Stage:
    """Return the stage that times a depth against the teacher's, or against an own teacher."""
    spec = SpeedSpec(
        num_layers=num_layers,
        num_teacher_layers=models.num_teacher_layers,
        machine=machine,
        speed=timing,
    )
    sources = {PRETRAINED: models.student.weights}
    if models.other:
        sources[TEACHER_PRETRAINED] = models.teacher.weights
    name = f"speed-{num_layers}l"
    # The pretrained model takes the time of the teacher that is fine-tuned from it.
    inputs = {"tokens": tokens, **({"teacher": teacher} if models.own_teachers else {})}
    return make_stage(task.name, name, spec, inputs, sources, student_model=models.other)


def evaluation_stage(
    task: Task,
    settings: Settings,
    trained: TrainingSpec | OwnTeacherSpec,
    inputs: Mapping[str, Stage],
    sources: Mapping[str, str] = MappingProxyType({}),
) -> Stage:
    """Return the stage that scores a model; `sources` are the raw texts that an own teacher reads."""
    spec = EvaluationSpec(
        method=trained.method,
        num_layers=trained.num_layers,
        seed=trained.seed if isinstance(trained, StudentSpec) else None,
        metrics=task.metrics,
        evaluation=settings.evaluation,
    )
    return make_stage(
        task.name, f"evaluation-{inputs['model'].name}", spec, inputs, sources, settings.compute.threads
    )


def distances_stage(student: Stage, num_layers: int, inputs: Mapping[str, Stage]) -> Stage:
    """Return the stage that compares a student's states, before and after its training, with its teacher's.

    Args:
        student: Its training.
        num_layers: Its depth.
        inputs: At least the stages that the training could read: "tokens", "states", "teacher".
    """
    # The training's own sources, as the stage builds the untrained student again.
    parts = ("tokens", "states", *(part for part in ("teacher",) if part in student.inputs))
    read = {part: inputs[part] for part in parts} | {"model": student}
    return make_stage(
        student.task,
        f"{_DISTANCES}{student.name}",
        DistancesSpec(num_layers=num_layers),
        read,
        student.sources,
        student.threads,
        student.student_model,
    )


def distances_key(evaluation_key: str) -> str:
    """Return the key of the distances of an evaluation's model.

    >>> distances_key("RTE/evaluation-kd-3l-s1")
    'RTE/distances-kd-3l-s1'
    """
    return evaluation_key.replace("/evaluation-", f"/{_DISTANCES}", 1)
