"""What the stage that takes an own teacher is asked for."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pkd_core.config.section import Section
from pkd_core.pipeline.kinds import StageKind


class OwnTeacherSpec(Section):
    """Taking one classifier, or several, that a user has fine-tuned, as the teacher.

    The task is named, as MLflow has one run for each task that a teacher is scored on. `families` are architectures.
    Of each, `label_orders` has the output of each of the task's labels, in the task's order, and `named` whether the
    names of the outputs say so; otherwise its answers on dev must agree.
    """

    kind: ClassVar[StageKind] = StageKind.OWN_TEACHER
    method: Literal["teacher"] = "teacher"
    task: str
    num_layers: int
    families: tuple[str, ...]
    label_orders: tuple[tuple[int, ...], ...]
    named: tuple[bool, ...]


def own_teacher_spec(config: Mapping[str, Any]) -> OwnTeacherSpec | None:
    """Read the specification of an own teacher from its manifest; None if it is that of a model trained here."""
    return OwnTeacherSpec.model_validate(config) if "label_orders" in config else None
