"""The stages that time models on the task's own texts, on the processor whatever device the run trains on."""

from collections.abc import Mapping, Sequence

from pkd_core.config.settings import Settings
from pkd_core.data.task import Task
from pkd_core.latency.result import Format
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec, LatencySpec
from pkd_core.pipeline.models import Models
from pkd_core.pipeline.sources import PRETRAINED, TOKENIZER, raw_sources
from pkd_core.pipeline.stage import Stage, make_stage
from pkd_core.runtime.device import machine_of

MODEL, EXPORT = "model/", "export/"


def candidates_stage(
    task: Task,
    raw_hashes: Mapping[str, str],
    models: Models,
    settings: Settings,
    depths: Sequence[int] = (),
    format: Format = "onnx-int8",
) -> Stage:
    """Return the stage that times untrained students, from which `choose_depth` chooses.

    Args:
        task: The task, whose dev texts are used.
        raw_hashes: Hash of each of its raw files, by split.
        models: The pretrained models; their weights are not trained.
        settings: The length limit, and how to measure.
        depths: Numbers of layers; by default all that make a student shallower than its pretrained model, and that of
            the model too if the teacher is another one.
        format: What the student is to be deployed in.
    """
    of_teacher = models.student_base is None
    deepest = models.student.num_layers - 1 if of_teacher else models.student.num_layers
    spec = LatencyCandidatesSpec(
        depths=tuple(sorted(set(depths))) or tuple(range(1, max(deepest, 1) + 1)),
        num_teacher_layers=models.student.num_layers if of_teacher else None,
        format=format,
        max_length=settings.tokens.max_length,
        num_outputs=task.num_outputs,
        split=task.dev_splits[0],
        machine=machine_of("cpu"),
        latency=settings.latency,
    )
    sources = raw_sources(task, raw_hashes) | {
        PRETRAINED: models.student.weights,
        TOKENIZER: models.student.tokenizer,
    }
    return make_stage(task.name, "latency-candidates", spec, {}, sources, student_model=models.other)


def latency_stage(
    task: Task, raw_hashes: Mapping[str, str], settings: Settings, exported: Sequence[tuple[Stage, Stage]]
) -> Stage:
    """Return the stage that times trained models in every format.

    Args:
        task: The task, whose dev texts are used.
        raw_hashes: Hash of each of its raw files, by split.
        settings: How to measure.
        exported: Each model's stage and that of its export, in the order of the table.
    """
    spec = LatencySpec(
        models=tuple(model.name for model, _ in exported),
        split=task.dev_splits[0],
        machine=machine_of("cpu"),
        latency=settings.latency,
    )
    inputs = {MODEL + model.name: model for model, _ in exported}
    inputs |= {EXPORT + model.name: export for model, export in exported}
    return make_stage(task.name, "latency", spec, inputs, raw_sources(task, raw_hashes))
