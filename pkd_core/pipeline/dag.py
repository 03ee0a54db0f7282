"""The stages of a run as a DAG: for each task from raw files to evaluations, and one report over all tasks."""

from collections.abc import Iterator, Mapping, Sequence

from pkd_core.config.conventions import CONVENTIONS
from pkd_core.config.overrides import build_settings
from pkd_core.config.presets import Preset, preset_for
from pkd_core.config.settings import Method, RunConfig, Settings, SpeedConfig
from pkd_core.data.task import Task
from pkd_core.errors import ConfigError
from pkd_core.method.layer_map import LayerMap, last_layers, skip_layers
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.sources import UNLABELLED, PretrainedModel
from pkd_core.pipeline.specs import (
    EvaluationSpec,
    FileShape,
    ReportSpec,
    SpeedSpec,
    StudentSpec,
    TeacherSpec,
    TeacherStatesSpec,
    TokensSpec,
    TrainingSpec,
    TransferSpec,
    distill_spec,
)
from pkd_core.pipeline.stage import Stage, make_stage

_LAYER_MAPS = {"pkd-skip": skip_layers, "pkd-last": last_layers}


def build_dag(
    run: RunConfig,
    tasks: Sequence[Task],
    raw_hashes: Mapping[str, Mapping[str, str]],
    model: PretrainedModel,
    machine: str,
) -> list[Stage]:
    """Return every stage of a run, each after its inputs, the report last.

    Args:
        run: What is to be computed.
        tasks: The run's tasks.
        raw_hashes: Hash of each raw file, by task and split.
        model: The pretrained model.
        machine: Model of the processor or the GPU to compute on: speeds are measured on each anew.

    Raises:
        ConfigError: A setting is unknown or out of range, or a depth does not fit the teacher's.
    """
    stages = [
        stage for task in tasks for stage in _task_dag(run, task, raw_hashes[task.name], model, machine)
    ]
    return [*stages, report_stage(run, stages, {}, model)]


def report_stage(
    run: RunConfig, stages: Sequence[Stage], failures: Mapping[str, str], model: PretrainedModel
) -> Stage:
    """Return the report over the evaluations among some stages, naming the stages that failed and why.

    It reads the evaluations, and the trainings of the models that they are of, if these are among the stages too.
    """
    evaluations = [stage for stage in stages if stage.kind is StageKind.EVALUATION]
    models = {stage.inputs["model"] for stage in evaluations}
    spec = ReportSpec(
        base_model=model.short_name,
        base_model_digest=model.weights,
        presets={stage.key: _describe_preset(run, stage, model.num_layers) for stage in evaluations},
        failures=dict(failures),
    )
    inputs = {stage.key: stage for stage in stages if stage in evaluations or stage.key in models}
    return make_stage("reports", "report", spec, inputs, {})


def _task_dag(
    run: RunConfig, task: Task, raw_hashes: Mapping[str, str], model: PretrainedModel, machine: str
) -> Iterator[Stage]:
    settings = _settings(run, _preset(task.name, "teacher", model.num_layers, model))
    tokens = _tokens_stage(task, raw_hashes, settings, model)
    teacher_spec = TeacherSpec(num_layers=model.num_layers, metric=task.metrics[0], training=settings.teacher)
    threads, timing = settings.compute.threads, settings.speed
    teacher = make_stage(
        task.name, "teacher", teacher_spec, {"tokens": tokens}, {"pretrained": model.weights}, threads
    )
    yield tokens
    yield teacher
    yield _evaluation_stage(task, settings, teacher_spec, {"tokens": tokens, "model": teacher})
    inputs = {"tokens": tokens, "teacher": teacher}
    if any(method != "finetune" for method in run.methods):
        states_spec = TeacherStatesSpec(states=settings.states)
        inputs["states"] = make_stage(task.name, "teacher-states", states_spec, inputs, {}, threads)
        yield inputs["states"]
        transfer = _transfer_stage(task, tokens, raw_hashes, settings, model)
        if transfer is not None:
            yield transfer
            inputs |= {"transfer": transfer}
            inputs["transfer-states"] = make_stage(
                task.name,
                "transfer-states",
                states_spec,
                {"tokens": tokens, "teacher": teacher, "transfer": transfer},
                {},
                threads,
            )
            yield inputs["transfer-states"]
    for num_layers in run.student_layers or (model.num_layers // 2,):
        speed = _speed_stage(task, num_layers, timing, tokens, model, machine)
        yield speed
        for method in run.methods:
            preset = _preset(task.name, method, num_layers, model)
            settings = _settings(run, preset)
            layer_map = _layer_map(run, method, num_layers, model.num_layers)
            for seed in run.seeds:
                spec = _student_spec(task, method, num_layers, seed, settings, model, layer_map)
                if spec.distill is not None and "transfer" in inputs:
                    spec = spec.model_copy(update={"transfer": settings.transfer})
                student = _student_stage(task, spec, inputs, model, threads)
                yield student
                evaluated = {"tokens": tokens, "model": student, "speed": speed}
                yield _evaluation_stage(task, settings, spec, evaluated)


def _tokens_stage(
    task: Task, raw_hashes: Mapping[str, str], settings: Settings, model: PretrainedModel
) -> Stage:
    if settings.tokens.max_length > model.max_length:
        raise ConfigError(
            f"tokens.max_length of {settings.tokens.max_length} is more than the {model.max_length} positions that "
            f"{model.name} has; set tokens.max_length={model.max_length}."
        )
    sources = {
        f"raw/{split.name}": raw_hashes[split.name] for split in task.splits if split.name in raw_hashes
    }
    spec = TokensSpec(task=FileShape.of(task), tokens=settings.tokens)
    return make_stage(task.name, "tokens", spec, {}, sources | {"tokenizer": model.tokenizer})


def _transfer_stage(
    task: Task, tokens: Stage, raw_hashes: Mapping[str, str], settings: Settings, model: PretrainedModel
) -> Stage | None:
    """Return the stage of further texts for the teacher to label; None if there are none."""
    sources = {"tokenizer": model.tokenizer}
    if settings.transfer.unlabelled and UNLABELLED in raw_hashes:
        sources[UNLABELLED] = raw_hashes[UNLABELLED]
    elif not settings.transfer.num_copies:
        return None
    spec = TransferSpec(task=FileShape.of(task), tokens=settings.tokens, transfer=settings.transfer)
    return make_stage(task.name, "transfer-set", spec, {"tokens": tokens}, sources)


def _settings(run: RunConfig, preset: Preset) -> Settings:
    return build_settings(preset.settings, CONVENTIONS[run.convention].settings, run.settings)


def _student_spec(
    task: Task,
    method: Method,
    num_layers: int,
    seed: int,
    settings: Settings,
    model: PretrainedModel,
    layer_map: LayerMap,
) -> StudentSpec:
    if task.is_regression and method != "finetune" and settings.distill.distillation_loss == "dkd":
        raise ConfigError(
            f"distill.distillation_loss=dkd needs a task with classes, and {task.name} has scores; run it by itself "
            "without that setting."
        )
    return StudentSpec(
        method=method,
        num_layers=num_layers,
        seed=seed,
        metric=task.metrics[0],
        training=settings.student,
        initial_layers=_initial_layers(settings.student.init, num_layers, model.num_layers),
        distill=distill_spec(method, settings.distill),
        layer_map=None if method == "finetune" else layer_map,
    )


def _student_stage(
    task: Task, spec: StudentSpec, inputs: Mapping[str, Stage], model: PretrainedModel, threads: int
) -> Stage:
    parts = ["tokens"]
    if spec.distill is not None:
        parts += ["states", *(part for part in ("transfer", "transfer-states") if part in inputs)]
    from_teacher = spec.training.init != "pretrained-first"
    if from_teacher:
        parts.append("teacher")
    name = f"{spec.method}-{spec.num_layers}l-s{spec.seed}"
    sources = {} if from_teacher else {"pretrained": model.weights}
    return make_stage(task.name, name, spec, {part: inputs[part] for part in parts}, sources, threads)


def _speed_stage(
    task: Task, num_layers: int, timing: SpeedConfig, tokens: Stage, model: PretrainedModel, machine: str
) -> Stage:
    spec = SpeedSpec(
        num_layers=num_layers,
        num_teacher_layers=model.num_layers,
        machine=machine,
        speed=timing,
    )
    return make_stage(
        task.name, f"speed-{num_layers}l", spec, {"tokens": tokens}, {"pretrained": model.weights}
    )


def _evaluation_stage(
    task: Task, settings: Settings, trained: TrainingSpec, inputs: Mapping[str, Stage]
) -> Stage:
    spec = EvaluationSpec(
        method=trained.method,
        num_layers=trained.num_layers,
        seed=trained.seed if isinstance(trained, StudentSpec) else None,
        metrics=task.metrics,
        evaluation=settings.evaluation,
    )
    return make_stage(
        task.name, f"evaluation-{inputs['model'].name}", spec, inputs, {}, settings.compute.threads
    )


def _layer_map(run: RunConfig, method: Method, num_layers: int, num_teacher_layers: int) -> LayerMap:
    if num_layers > num_teacher_layers:
        raise ConfigError(
            f"a student of {num_layers} layers is deeper than its teacher of {num_teacher_layers}; "
            f"give --student-layers of at most {num_teacher_layers}."
        )
    of_convention = CONVENTIONS[run.convention].layer_maps
    if (method, num_layers, num_teacher_layers) in of_convention:
        return of_convention[method, num_layers, num_teacher_layers]
    try:
        return _LAYER_MAPS[method](num_layers, num_teacher_layers) if method in _LAYER_MAPS else ()
    except ValueError as error:
        raise ConfigError(f"{method} with {num_layers} student layers: {error}") from error


def _initial_layers(init: str, num_layers: int, num_source_layers: int) -> tuple[int, ...]:
    if init != "teacher-skip":
        return tuple(range(1, num_layers + 1))
    if num_source_layers % num_layers:
        raise ConfigError(
            f"student.init=teacher-skip needs a depth that divides the teacher's {num_source_layers} layers, "
            f"got {num_layers}; choose another --student-layers or student.init."
        )
    stride = num_source_layers // num_layers
    return tuple(range(stride, num_source_layers + 1, stride))


def _preset(task: str, method: str, num_layers: int, model: PretrainedModel) -> Preset:
    return preset_for(task, method, num_layers, model.num_layers)


def _describe_preset(run: RunConfig, evaluation: Stage, num_teacher_layers: int) -> str:
    spec = evaluation.spec
    assert isinstance(spec, EvaluationSpec), evaluation.key
    preset = preset_for(evaluation.task, spec.method, spec.num_layers, num_teacher_layers)
    changed = sorted(key for key in run.settings if key in preset.settings)
    return preset.source + (f", but for {', '.join(changed)}" if changed else "")
