"""What a shell completes: tasks, settings, their values, and methods between commas."""

from pathlib import Path
from typing import get_args, get_origin

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


def complete_arguments(incomplete: str) -> list[str]:
    """Return the tasks, and the settings with their values to choose from, that begin with an unfinished word.

    Own tasks are those of the current folder.

    >>> complete_arguments("student.pre"), complete_arguments("student.precision=b")
    (['student.precision='], ['student.precision=bfloat16'])
    """
    key, equals, _ = incomplete.partition("=")
    if equals:
        words = [f"{key}={choice}" for choice in _choices(key)]
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
