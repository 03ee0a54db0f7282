"""What the stage that reports a compression is asked for."""

from typing import ClassVar

from pkd_core.config.section import Section
from pkd_core.latency.result import Format
from pkd_core.pipeline.kinds import StageKind


class CardSpec(Section):
    """Reporting a compression: the keys of the evaluations of the teacher, of the chosen student and of the others.

    `exports` has the key of an evaluated model's export by that of its evaluation. `teacher_name` is the given
    classifier's name, or that of the pretrained model that the teacher was fine-tuned from, without its folder's path.
    """

    kind: ClassVar[StageKind] = StageKind.CARD
    teacher: str
    student: str
    others: tuple[str, ...]
    exports: dict[str, str]
    teacher_name: str
    has_own_teacher: bool
    student_base: str
    deploy_format: Format
    budget_ms: float | None
