"""What the stage that exports a model is asked for."""

from typing import ClassVar

from pkd_core.config.export_settings import ExportConfig
from pkd_core.config.section import Section
from pkd_core.pipeline.file_shape import FileShape
from pkd_core.pipeline.kinds import StageKind


class ExportSpec(Section):
    """Exporting a trained model, or an own teacher, which keeps its own `max_length`."""

    kind: ClassVar[StageKind] = StageKind.EXPORT
    task: FileShape
    metrics: tuple[str, ...]
    max_length: int
    export: ExportConfig
