"""The stages of a run as a DAG: for each task from raw files to evaluations, and one report over all tasks."""

from collections.abc import Iterator, Mapping, Sequence

from pkd_core.config.conventions import CONVENTIONS
from pkd_core.config.overrides import build_settings
from pkd_core.config.presets import Preset
from pkd_core.config.settings import Method, RunConfig, Settings, StudentConfig
from pkd_core.data.task import Task
from pkd_core.errors import ConfigError
from pkd_core.method.layer_map import LayerMap
from pkd_core.pipeline.distillation_limits import check_distillation, check_transfer
from pkd_core.pipeline.file_shape import FileShape
from pkd_core.pipeline.layers import initial_layers, layer_map_of
from pkd_core.pipeline.measurements import distances_stage, evaluation_stage, speed_stage
from pkd_core.pipeline.models import Models, PretrainedModel
from pkd_core.pipeline.report_stages import preset_of, report_stage
from pkd_core.pipeline.search_specs import HoldoutSpec
from pkd_core.pipeline.sources import PRETRAINED, TOKENIZER, UNLABELLED, raw_sources
from pkd_core.pipeline.specs import (
    StudentSpec,
    TokensSpec,
    TransferSpec,
    distill_spec,
)
from pkd_core.pipeline.stage import STUDENT_TOKENS, Stage, make_stage
from pkd_core.pipeline.teacher_stages import check_teachers, states_stage, teaching_of, transfer_states_stage


def build_dag(
    run: RunConfig,
    tasks: Sequence[Task],
    raw_hashes: Mapping[str, Mapping[str, str]],
    models: Models,
    machine: str,
    holdout: HoldoutSpec | None = None,
) -> list[Stage]:
    """Return every stage of a run, each after its inputs, the report last.

    Args:
        run: What is to be computed.
        tasks: The run's tasks.
        raw_hashes: Hash of each raw file, by task and split.
        models: The pretrained models of teacher and students.
        machine: Model of the processor or the GPU to compute on: speeds are measured on each anew.
        holdout: Which part of the training rows to score in place of the dev split; speeds are then not measured.

    Raises:
        ConfigError: A setting is unknown or out of range, or a depth does not fit the teacher's.
    """
    stages = [
        stage
        for task in tasks
        for stage in _task_dag(run, task, raw_hashes[task.name], models, machine, holdout)
    ]
    return [*stages, report_stage(run, stages, {}, models)]


def _task_dag(
    run: RunConfig,
    task: Task,
    raw_hashes: Mapping[str, str],
    models: Models,
    machine: str,
    holdout: HoldoutSpec | None,
) -> Iterator[Stage]:
    settings = _settings(run, preset_of(task.name, "teacher", models.teacher.num_layers, models))
    _check_length(settings, models)
    check_teachers(models, run.methods)
    tokens = _tokens_stage(task, raw_hashes, settings, models.teacher, holdout)
    threads, timing = settings.compute.threads, settings.speed
    teaching = teaching_of(task, settings, models, tokens, raw_hashes)
    yield tokens
    yield from teaching
    inputs = {"tokens": tokens, "teacher": teaching.teacher}
    if any(method != "finetune" for method in run.methods):
        inputs["states"] = states_stage(task, settings, teaching)
        yield inputs["states"]
        transfer = _transfer_stage(task, tokens, raw_hashes, settings, models)
        if transfer is not None:
            yield transfer
            inputs |= {"transfer": transfer}
            inputs["transfer-states"] = transfer_states_stage(task, settings, teaching, transfer)
            yield inputs["transfer-states"]
    if not models.share_tokens:
        tokens = _tokens_stage(
            task, raw_hashes, settings, models.student, holdout, STUDENT_TOKENS, models.other
        )
        yield tokens
        inputs |= {"tokens": tokens}
    for num_layers in run.student_layers or (models.student.num_layers // 2,):
        timed = {}
        if holdout is None:
            timed["speed"] = speed_stage(task, num_layers, timing, tokens, models, machine, teaching.teacher)
            yield timed["speed"]
        for method in run.methods:
            preset = preset_of(task.name, method, num_layers, models)
            settings = _settings(run, preset)
            layer_map = layer_map_of(run, method, num_layers, models.num_teacher_layers)
            for seed in run.seeds:
                spec = _student_spec(task, method, num_layers, seed, settings, models, layer_map)
                if spec.distill is not None and "transfer" in inputs:
                    spec = spec.model_copy(update={"transfer": settings.transfer})
                student = _student_stage(task, spec, inputs, models, threads)
                yield student
                yield evaluation_stage(task, settings, spec, {"tokens": tokens, "model": student, **timed})
                if "states" in inputs and len(models.own_teachers) <= 1:
                    yield distances_stage(student, num_layers, inputs)


def _check_length(settings: Settings, models: Models) -> None:
    for model in (models.teacher, models.student):
        if settings.tokens.max_length > model.max_length:
            raise ConfigError(
                f"tokens.max_length of {settings.tokens.max_length} is more than the {model.max_length} positions that "
                f"{model.name} has; set tokens.max_length={model.max_length}."
            )


def _tokens_stage(
    task: Task,
    raw_hashes: Mapping[str, str],
    settings: Settings,
    model: PretrainedModel,
    holdout: HoldoutSpec | None,
    name: str = "tokens",
    student_model: PretrainedModel | None = None,
) -> Stage:
    spec = TokensSpec(task=FileShape.of(task), tokens=settings.tokens, holdout=holdout)
    sources = raw_sources(task, raw_hashes) | {TOKENIZER: model.tokenizer}
    return make_stage(task.name, name, spec, {}, sources, student_model=student_model)


def _transfer_stage(
    task: Task, tokens: Stage, raw_hashes: Mapping[str, str], settings: Settings, models: Models
) -> Stage | None:
    """Return the stage of further texts for the teacher to label; None if there are none."""
    sources = {TOKENIZER: models.teacher.tokenizer}
    if settings.transfer.unlabelled and UNLABELLED in raw_hashes:
        sources[UNLABELLED] = raw_hashes[UNLABELLED]
    elif not settings.transfer.num_copies:
        return None
    check_transfer(task, models, settings.transfer.num_copies)
    threads = None
    if settings.transfer.predicts_words:
        sources[PRETRAINED], threads = models.teacher.weights, settings.compute.threads
    spec = TransferSpec(task=FileShape.of(task), tokens=settings.tokens, transfer=settings.transfer)
    return make_stage(task.name, "transfer-set", spec, {"tokens": tokens}, sources, threads)


def _settings(run: RunConfig, preset: Preset) -> Settings:
    return build_settings(preset.settings, CONVENTIONS[run.convention].settings, run.settings)


def _student_spec(
    task: Task,
    method: Method,
    num_layers: int,
    seed: int,
    settings: Settings,
    models: Models,
    layer_map: LayerMap,
) -> StudentSpec:
    distill, training = distill_spec(method, settings.distill), settings.student
    if distill is not None:
        check_distillation(distill, task, num_layers)
        training = _distilled_training(settings)
    return StudentSpec(
        method=method,
        num_layers=num_layers,
        seed=seed,
        metric=task.metrics[0],
        training=training,
        initial_layers=initial_layers(training.init, num_layers, models),
        distill=distill,
        layer_map=None if method == "finetune" else layer_map,
    )


def _distilled_training(settings: Settings) -> StudentConfig:
    """Return the training of distilled students: what `distill` sets of it stands over `student`."""
    values: dict[str, object] = {}
    if settings.distill.num_epochs:
        values["num_epochs"] = settings.distill.num_epochs
    if settings.distill.init != "student.init":
        values["init"] = settings.distill.init
    return settings.student.model_copy(update=values)


def _student_stage(
    task: Task, spec: StudentSpec, inputs: Mapping[str, Stage], models: Models, threads: int
) -> Stage:
    parts = ["tokens"]
    if spec.distill is not None:
        parts += ["states", *(part for part in ("transfer", "transfer-states") if part in inputs)]
    from_teacher = spec.training.init != "pretrained-first"
    if from_teacher:
        parts.append("teacher")
    name = f"{spec.method}-{spec.num_layers}l-s{spec.seed}"
    sources = {} if from_teacher else {PRETRAINED: models.student.weights}
    read = {part: inputs[part] for part in parts}
    return make_stage(task.name, name, spec, read, sources, threads, models.other)
