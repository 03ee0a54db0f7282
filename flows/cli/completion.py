"""What a shell completes: tasks, settings, their values, and methods between commas."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args, get_origin

import typer

from pkd_core.config.overrides import setting_keys
from pkd_core.config.settings import METHODS, Settings
from pkd_core.data.custom_task import TASK_FILE
from pkd_core.data.glue import GLUE_TASKS


def complete_methods(incomplete: str) -> list[str]:
    """Return the lists of methods that an unfinished list can become by its last one.

    >>> complete_methods("kd,pkd-s")
    ['kd,pkd-skip']
    """
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [
        f"{before}{comma}{method}" for method in METHODS if method.startswith(last) and method not in taken
    ]


def complete_arguments(context: typer.Context, incomplete: str) -> list[str]:
    """Return the tasks, and the settings with their values to choose from, that begin with an unfinished word."""
    return complete_word(context.params.get("arguments") or [], incomplete)


def complete_word(before: Sequence[str], incomplete: str) -> list[str]:
    """Return what an unfinished word can become after the words before it; own tasks are those of the current folder.

    bash takes "=" for a word of its own, which typer then leaves out.

    >>> complete_word([], "student.pre"), complete_word([], "student.precision=b")
    (['student.precision='], ['student.precision=bfloat16'])
    >>> complete_word(["RTE", "student.precision"], ""), complete_word(["RTE", "student.precision", "="], "b")
    (['=auto', '=float32', '=bfloat16'], ['bfloat16'])
    """
    key, equals, _ = incomplete.partition("=")
    if before and before[-1] in setting_keys() and not incomplete:
        words = [f"={choice}" for choice in _choices(before[-1])]
    elif equals:
        words = [f"{key}={choice}" for choice in _choices(key)]
    elif len(before) > 1 and before[-1] == "=":
        words = _choices(before[-2])
    else:
        own = sorted(path.parent.name for path in Path("data_raw").glob(f"*/{TASK_FILE}"))
        words = [*GLUE_TASKS, *own, *(f"{key}=" for key in setting_keys())]
    return [word for word in words if word.startswith(incomplete)]


def _choices(key: str) -> list[str]:
    """Return the values that a setting can have; none if it takes any number."""
    if key not in setting_keys():
        return []
    section, _, name = key.partition(".")
    annotation = type(getattr(Settings(), section)).model_fields[name].annotation
    if annotation is bool:
        return ["true", "false"]
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) else []
