"""The chain of stages that one GLUE task needs, from raw files to evaluations, and the report over all chains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pkd_core.config.overrides import build_settings
from pkd_core.config.presets import preset_for
from pkd_core.config.settings import Method, RunConfig, Section, Settings
from pkd_core.data.glue import Task
from pkd_core.errors import ConfigError
from pkd_core.method.layer_map import last_layers, skip_layers
from pkd_core.pipeline.sources import PretrainedModel
from pkd_core.pipeline.stage import Stage, StageKind, make_stage

_LAYER_MAPS = {"pkd-skip": skip_layers, "pkd-last": last_layers}


def build_dag(
    run: RunConfig, tasks: list[Task], raw_hashes: Mapping[str, Mapping[str, str]], model: PretrainedModel
) -> list[Stage]:
    """Return every stage of a run, each after its inputs, the report last.

    Raises:
        ConfigError: A setting is unknown or out of range, or a depth does not fit the teacher's.
    """
    stages = [stage for task in tasks for stage in _task_dag(run, task, raw_hashes[task.name], model)]
    evaluations = [stage for stage in stages if stage.kind is StageKind.EVALUATION]
    return [*stages, report_stage(run, evaluations, {}, model.num_layers)]


def report_stage(
    run: RunConfig, evaluations: Sequence[Stage], failures: Mapping[str, str], num_teacher_layers: int
) -> Stage:
    """Return the report over some evaluations, naming the chains that failed and why."""
    presets = {stage.key: _describe_preset(run, stage, num_teacher_layers) for stage in evaluations}
    config = {"presets": presets, "failures": dict(failures)}
    inputs = {stage.key: stage for stage in evaluations}
    return make_stage(StageKind.REPORT, "reports", "report", config, inputs, {})


def _task_dag(
    run: RunConfig, task: Task, raw_hashes: Mapping[str, str], model: PretrainedModel
) -> Iterator[Stage]:
    settings = _settings_for(run, task, "teacher", model.num_layers, model)
    tokens = _tokens_stage(task, raw_hashes, settings, model)
    teacher = make_stage(
        StageKind.TEACHER,
        task.name,
        "teacher",
        {
            "method": "teacher",
            "num_layers": model.num_layers,
            "metric": task.metrics[0],
            "training": _dump(settings.teacher),
        },
        {"tokens": tokens},
        {"pretrained": model.weights},
    )
    states = make_stage(
        StageKind.STATES,
        task.name,
        "teacher-states",
        {"states": _dump(settings.states)},
        {"tokens": tokens, "teacher": teacher},
        {},
    )
    yield from (tokens, teacher, _evaluation_stage(task, teacher, teacher, tokens, settings))
    if any(method != "finetune" for method in run.methods):
        yield states
    inputs = {"tokens": tokens, "teacher": teacher, "states": states}
    for num_layers in run.student_layers or (model.num_layers // 2,):
        for method in run.methods:
            settings = _settings_for(run, task, method, num_layers, model)
            for seed in run.seeds:
                student = _student_stage(task, method, num_layers, seed, settings, inputs, model)
                yield from (student, _evaluation_stage(task, student, teacher, tokens, settings))


def _tokens_stage(
    task: Task, raw_hashes: Mapping[str, str], settings: Settings, model: PretrainedModel
) -> Stage:
    shape = {
        "labels": list(task.labels),
        "label_range": task.label_range,
        "max_bad_lines": task.max_bad_lines,
        "splits": [asdict(split) for split in task.splits],
    }
    sources = {f"raw/{split}": digest for split, digest in raw_hashes.items()} | {
        "tokenizer": model.tokenizer
    }
    if settings.tokens.max_length > model.max_length:
        raise ConfigError(
            f"tokens.max_length of {settings.tokens.max_length} is more than the {model.max_length} positions that "
            f"{model.name} has; set tokens.max_length={model.max_length}."
        )
    config = {"task": shape, "tokens": _dump(settings.tokens)}
    return make_stage(StageKind.TOKENS, task.name, "tokens", config, {}, sources)


def _student_stage(
    task: Task,
    method: Method,
    num_layers: int,
    seed: int,
    settings: Settings,
    inputs: Mapping[str, Stage],
    model: PretrainedModel,
) -> Stage:
    parts = ["tokens"]
    config: dict[str, Any] = {
        "method": method,
        "num_layers": num_layers,
        "seed": seed,
        "metric": task.metrics[0],
        "training": _dump(settings.student),
        "initial_layers": _initial_layers(settings.student.init, num_layers, model.num_layers),
    }
    layer_map = _layer_map(method, num_layers, model.num_layers)
    if method != "finetune":
        unread = set() if layer_map else {"beta", "normalize", "patience_reduction"}
        config["distill"] = {
            key: value for key, value in _dump(settings.distill).items() if key not in unread
        }
        config["layer_map"] = [list(pair) for pair in layer_map]
        parts.append("states")
    from_teacher = settings.student.init != "pretrained-first"
    if from_teacher:
        parts.append("teacher")
    sources = {} if from_teacher else {"pretrained": model.weights}
    name = f"{method}-{num_layers}l-s{seed}"
    chosen = {part: inputs[part] for part in parts}
    return make_stage(StageKind.STUDENT, task.name, name, config, chosen, sources)


def _evaluation_stage(task: Task, model: Stage, teacher: Stage, tokens: Stage, settings: Settings) -> Stage:
    inputs = {"tokens": tokens, "model": model} | ({} if model is teacher else {"teacher": teacher})
    config = {
        "method": model.config["method"],
        "num_layers": model.config["num_layers"],
        "seed": model.config.get("seed"),
        "metrics": list(task.metrics),
        "evaluation": _dump(settings.evaluation),
    }
    return make_stage(StageKind.EVALUATION, task.name, f"evaluation-{model.name}", config, inputs, {})


def _layer_map(method: Method, num_layers: int, num_teacher_layers: int) -> tuple[tuple[int, int], ...]:
    if num_layers > num_teacher_layers:
        raise ConfigError(
            f"a student of {num_layers} layers is deeper than its teacher of {num_teacher_layers}; "
            f"give --student-layers of at most {num_teacher_layers}."
        )
    try:
        return _LAYER_MAPS[method](num_layers, num_teacher_layers) if method in _LAYER_MAPS else ()
    except ValueError as error:
        raise ConfigError(f"{method} with {num_layers} student layers: {error}") from error


def _initial_layers(init: str, num_layers: int, num_source_layers: int) -> list[int]:
    if init != "teacher-skip":
        return list(range(1, num_layers + 1))
    if num_source_layers % num_layers:
        raise ConfigError(
            f"student.init=teacher-skip needs a depth that divides the teacher's {num_source_layers} layers, "
            f"got {num_layers}; choose another --student-layers or student.init."
        )
    stride = num_source_layers // num_layers
    return list(range(stride, num_source_layers + 1, stride))


def _settings_for(
    run: RunConfig, task: Task, method: str, num_layers: int, model: PretrainedModel
) -> Settings:
    preset = preset_for(task.name, method, num_layers, model.num_layers)
    return build_settings(preset.settings, run.settings)


def _describe_preset(run: RunConfig, evaluation: Stage, num_teacher_layers: int) -> str:
    method, num_layers = evaluation.config["method"], evaluation.config["num_layers"]
    preset = preset_for(evaluation.task, method, num_layers, num_teacher_layers)
    changed = sorted(key for key in run.settings if key in preset.settings)
    return preset.source + (f", but for {', '.join(changed)}" if changed else "")


def _dump(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json")
