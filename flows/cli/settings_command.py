"""`pkd settings`: every setting with its value for a task, where that comes from, its bounds and its meaning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from flows.cli.listing import show_json, show_text
from flows.cli.words import split_arguments
from pkd_core.config.conventions import check_convention
from pkd_core.config.reference import SettingValue, explain_settings
from pkd_core.config.settings import Method
from pkd_core.data.glue import load_task
from pkd_core.errors import ConfigError
from pkd_core.pipeline.task_data import bring_data


def show_settings(
    arguments: Sequence[str],
    method: Method,
    num_layers: int | None,
    num_model_layers: tuple[int, int],
    workspace: Path,
    as_json: bool,
) -> None:
    """Show the settings of a student of one task, or the defaults where no task is named.

    Args:
        arguments: A task, and settings.
        method: The student's method.
        num_layers: Its depth; half that of its pretrained model if None.
        num_model_layers: Depths of the teacher, and of the students' pretrained model.
        workspace: Folder that holds data_raw.
        as_json: Whether to print JSON.

    Raises:
        PkdError: The task or a key is unknown, a value is out of range, or several tasks are named.
    """
    tasks, given = split_arguments(arguments)
    convention = check_convention(given.pop("convention", "default"))
    if len(tasks) > 1:
        raise ConfigError(f"expected one task or none, got {' and '.join(tasks)}: each has its own settings.")
    bring_data(workspace, tasks)
    task = load_task(tasks[0], workspace / "data_raw").name if tasks else None
    num_teacher_layers, num_base_layers = num_model_layers
    num_layers = num_layers or max(1, num_base_layers // 2)
    depths = (num_layers, num_teacher_layers, num_base_layers)
    values = explain_settings(task, method, depths, given, convention)
    if as_json:
        show_json([_json(one) for one in values])
        return
    model = f"a student of {num_layers} layers by {method}, and its teacher of {num_teacher_layers}"
    show_text(
        f"Settings for {task}: {model}." if task else "The defaults; name a task for its published settings."
    )
    for one in values:
        typer.echo("")
        show_text(f"{one.setting.key} = {_plain(one.value)}  ({one.source})")
        show_text(one.setting.description, "    ")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(one: SettingValue) -> dict[str, Any]:
    setting = one.setting
    return {
        "key": setting.key,
        "value": one.value,
        "source": one.source,
        "default": setting.default,
        "type": setting.type,
        "bounds": setting.bounds,
        "meaning": setting.meaning,
        "methods": list(setting.methods),
    }
