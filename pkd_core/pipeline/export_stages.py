"""The stages that export models."""

from collections.abc import Mapping

from pkd_core.config.settings import Settings
from pkd_core.data.task import Task
from pkd_core.errors import ConfigError
from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.file_shape import FileShape
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.sources import raw_sources
from pkd_core.pipeline.stage import Stage, make_stage


def export_stage(task: Task, settings: Settings, model: Stage, raw_hashes: Mapping[str, str]) -> Stage:
    """Return the stage that exports a model: "export-" and the name of the model's stage.

    Args:
        task: The model's task.
        settings: With which it was trained.
        model: The stage of a student, of a teacher, or of an own teacher.
        raw_hashes: Hash of each raw file, by split.

    Raises:
        ConfigError: The task is of multiple choice, its texts were cut otherwise, or the model is several ones.
    """
    if task.num_choices > 1:
        raise ConfigError(
            f"{task.name} is of multiple choice, which is not exported; deploy the transformers folder."
        )
    if isinstance(model.spec, OwnTeacherSpec) and len(model.spec.families) > 1:
        raise ConfigError("several teachers that answer together are no single model, and are not exported.")
    if len(task.text_columns) == 2 and settings.tokens.truncation != "second-text-longer":
        raise ConfigError(
            "an exported model cuts two texts as Hugging Face's tokenizers do; set "
            "tokens.truncation=second-text-longer."
        )
    spec = ExportSpec(
        task=FileShape.of(task),
        metrics=task.metrics,
        max_length=settings.tokens.max_length,
        export=settings.export,
    )
    sources = raw_sources(task, raw_hashes)
    return make_stage(
        task.name, f"export-{model.name}", spec, {"model": model}, sources, settings.compute.threads
    )
