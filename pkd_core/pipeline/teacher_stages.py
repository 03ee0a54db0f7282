"""The stages of a task's teacher: training one or taking the user's own, scoring it, and running it over examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pkd_core.config.settings import Method, Settings
from pkd_core.data.task import Task
from pkd_core.errors import ConfigError
from pkd_core.pipeline.measurements import evaluation_stage
from pkd_core.pipeline.models import Models
from pkd_core.pipeline.own_labels import label_order
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.own_teachers import own_teacher_parts
from pkd_core.pipeline.sources import PRETRAINED, TOKENIZER, UNLABELLED
from pkd_core.pipeline.specs import TeacherSpec, TeacherStatesSpec
from pkd_core.pipeline.stage import Stage, make_stage


@dataclass(frozen=True)
class Teaching:
    """A task's teacher, and what running it over examples takes.

    Attributes:
        teacher: The stage whose folder is the teacher.
        evaluation: The stage that scores it.
        inputs: What the stages that run it read, by part: the tokens, and the teacher; the evaluation too of an own
            one, whose label order is checked there.
        raw_hashes: Hashes of the raw texts, which an own teacher reads with its own tokenizer; empty otherwise.
    """

    teacher: Stage
    evaluation: Stage
    inputs: Mapping[str, Stage]
    raw_hashes: Mapping[str, str]

    def __iter__(self) -> Iterator[Stage]:
        yield self.teacher
        yield self.evaluation


def teaching_of(
    task: Task, settings: Settings, models: Models, tokens: Stage, raw_hashes: Mapping[str, str]
) -> Teaching:
    """Return the stages of a task's teacher.

    Raises:
        ConfigError: An own teacher is not one for this task.
    """
    if models.own_teachers:
        return _own(task, settings, models, tokens, raw_hashes)
    spec = TeacherSpec(
        num_layers=models.teacher.num_layers, metric=task.metrics[0], training=settings.teacher
    )
    sources, threads = {PRETRAINED: models.teacher.weights}, settings.compute.threads
    teacher = make_stage(task.name, "teacher", spec, {"tokens": tokens}, sources, threads)
    evaluation = evaluation_stage(task, settings, spec, {"tokens": tokens, "model": teacher})
    return Teaching(teacher, evaluation, {"tokens": tokens, "teacher": teacher}, {})


def states_stage(task: Task, settings: Settings, teaching: Teaching) -> Stage:
    """Return the stage that runs the teacher over the training split."""
    spec, threads = TeacherStatesSpec(states=settings.states), settings.compute.threads
    sources = _raw(teaching.raw_hashes)
    return make_stage(task.name, "teacher-states", spec, teaching.inputs, sources, threads)


def transfer_states_stage(task: Task, settings: Settings, teaching: Teaching, transfer: Stage) -> Stage:
    """Return the stage that runs the teacher over the texts without labels."""
    sources: dict[str, str] = {}
    if teaching.raw_hashes:
        # The texts are found by the tokens that students read.
        parts = (UNLABELLED, TOKENIZER)
        sources = {part: transfer.sources[part] for part in parts}
    inputs = {**teaching.inputs, "transfer": transfer}
    spec, threads = TeacherStatesSpec(states=settings.states), settings.compute.threads
    return make_stage(task.name, "transfer-states", spec, inputs, sources, threads)


def check_teachers(models: Models, methods: Sequence[Method]) -> None:
    """Check that own teachers are what a run's methods can learn from.

    Raises:
        ConfigError: There are several, which have no common states to match.
    """
    patient = [method for method in methods if method.startswith("pkd-")]
    if len(models.own_teachers) > 1 and patient:
        raise ConfigError(
            f"{' and '.join(patient)} match the states of one teacher, and there are {len(models.own_teachers)}; give "
            "one --teacher, or --methods finetune,kd."
        )


def _own(
    task: Task, settings: Settings, models: Models, tokens: Stage, raw_hashes: Mapping[str, str]
) -> Teaching:
    orders, named = zip(*(label_order(teacher, task) for teacher in models.own_teachers), strict=True)
    spec = OwnTeacherSpec(
        task=task.name,
        num_layers=models.num_teacher_layers,
        families=tuple(teacher.settings.model_type for teacher in models.own_teachers),
        label_orders=orders,
        named=named,
    )
    sources = {part: teacher.digest for part, teacher in own_teacher_parts(models.own_teachers).items()}
    teacher = make_stage(task.name, "teacher", spec, {}, sources)
    inputs = {"tokens": tokens, "model": teacher}
    evaluation = evaluation_stage(task, settings, spec, inputs, _raw(raw_hashes))
    read = {"tokens": tokens, "teacher": teacher, "evaluation": evaluation}
    return Teaching(teacher, evaluation, read, raw_hashes)


def _raw(raw_hashes: Mapping[str, str]) -> dict[str, str]:
    return {f"raw/{split}": digest for split, digest in raw_hashes.items() if split != UNLABELLED}
