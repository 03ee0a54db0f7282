"""What the stages that time models on the task's own texts are asked for."""

from typing import ClassVar

from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.config.section import Section
from pkd_core.data.task import Split
from pkd_core.latency.result import Format
from pkd_core.pipeline.kinds import StageKind


class LatencyCandidatesSpec(Section):
    """Timing untrained students of some depths on one machine, with texts of `split`.

    The budget is no part of it: another one chooses from the same times. `num_teacher_layers` is None where the teacher
    is another model than the students', which is not timed here.
    """

    kind: ClassVar[StageKind] = StageKind.LATENCY_CANDIDATES
    depths: tuple[int, ...]
    num_teacher_layers: int | None
    format: Format
    max_length: int
    num_outputs: int
    split: Split
    machine: str
    latency: LatencyConfig


class LatencySpec(Section):
    """Timing models on one machine, each in torch and in the formats that its export has, with texts of `split`."""

    kind: ClassVar[StageKind] = StageKind.LATENCY
    models: tuple[str, ...]
    split: Split
    machine: str
    latency: LatencyConfig
