"""The command that asks for a run, as a person would type it."""

import shlex
from collections.abc import Sequence
from typing import Any

from pkd_core.config.settings import RunConfig

# Shorter than their fields, or in the singular where one value is given at a time.
_FLAGS = {
    "teachers": "--teacher",
    "texts": "--text",
    "split_column": "--split",
    "seed": "--split-seed",
    "latency_ms": "--latency",
}


def flag_of(name: str) -> str:
    """Return the option of a field.

    >>> flag_of("latency_ms"), flag_of("student_layers")
    ('--latency', '--student-layers')
    """
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def run_command(
    run: RunConfig, model: str, student_model: str | None = None, teachers: Sequence[str] = ()
) -> str:
    """Return `pkd run` with everything of a run that is not the default.

    >>> run_command(RunConfig(tasks=("RTE",), seeds=(1, 2), settings={"distill.normalize": True}), "bert")
    'pkd run RTE --seeds 1,2 --model bert distill.normalize=true'
    >>> run_command(RunConfig(tasks=("RTE",), student_model="/models/small-bert"), "bert", "small-bert")
    'pkd run RTE --model bert --student-model small-bert'
    >>> run_command(RunConfig(tasks=("RTE",), teachers=("/models/a", "/models/b")), "bert", None, ("a", "b"))
    'pkd run RTE --model bert --teacher a --teacher b'

    Args:
        run: The run.
        model: The pretrained model's name; a path would be of one machine only.
        student_model: That of the students' own pretrained model; None if they have no other.
        teachers: Those of the run's own teachers.
    """
    words = ["pkd", "run", *run.tasks]
    names = {"model": model, "student_model": student_model}
    for name, field in RunConfig.model_fields.items():
        if name in ("tasks", "teachers", "settings"):
            continue
        value = names.get(name, getattr(run, name))
        if value != field.default:
            words += [f"--{name.replace('_', '-')}", typed(value)]
    words += [word for name in teachers for word in ("--teacher", name)]
    words += [f"{key}={typed(value)}" for key, value in sorted(run.settings.items())]
    return shlex.join(words)


def typed(value: Any) -> str:
    """Return a value as it is typed."""
    if isinstance(value, list | tuple):
        return ",".join(map(typed, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
