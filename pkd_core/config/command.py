"""The command that asks for a run, as a person would type it."""

import shlex
from collections.abc import Sequence
from typing import Any

from pkd_core.config.settings import RunConfig


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
            words += [f"--{name.replace('_', '-')}", _typed(value)]
    words += [word for name in teachers for word in ("--teacher", name)]
    words += [f"{key}={_typed(value)}" for key, value in sorted(run.settings.items())]
    return shlex.join(words)


def _typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_typed, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
