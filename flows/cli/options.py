"""The options of `pkd run`, `pkd plan` and `pkd up`: one for each field of RunConfig and RunOptions."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from flows.request import Request, check_workspace, parse_task_arguments
from pkd_core.config.overrides import build_run_config, build_run_options
from pkd_core.config.settings import RunConfig, RunOptions

# Older names, which keep working.
_ALIASES = {"max_concurrent_runs": "--share"}
_LISTS = ("methods", "student_layers", "seeds")
_FROM_ARGUMENTS = ("tasks", "settings")


def _checked(workspace: Path) -> Path:
    return check_workspace(str(workspace))


Workspace = Annotated[
    Path, typer.Option(help="Folder that holds data_raw, data_feat and artifacts.", callback=_checked)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write the report and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Write the libraries' log as well.")]
TaskArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="TASK|key=value", help="Tasks, and settings by dotted key."),
]


def takes_request(default_all: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for a command whose first parameter is a Request: it gets the options of a run instead.

    The command's further parameters stay options of its own.

    Args:
        default_all: Whether no task means all of GLUE's.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def parse_and_call(arguments: list[str] | None, workspace: Path, **given: Any) -> None:
            own = {name: given.pop(name) for name in own_parameters}
            options = build_run_options(**{name: given.pop(name) for name in RunOptions.model_fields})
            lists = {name: given.pop(name).split(",") for name in _LISTS if given[name] is not None}
            rest = {name: value for name, value in given.items() if name not in _LISTS}
            tasks_and_settings = parse_task_arguments(arguments or [], default_all=default_all)
            command(
                Request(build_run_config(**tasks_and_settings, **lists, **rest), options, workspace), **own
            )

        _, *further = inspect.signature(command).parameters.values()
        own_parameters = {
            parameter.name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in further
        }
        parameters = [*_run_parameters(), *own_parameters.values()]
        parse_and_call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        parse_and_call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        parse_and_call.__name__, parse_and_call.__doc__ = command.__name__, command.__doc__
        return parse_and_call

    return decorate


def _run_parameters() -> list[inspect.Parameter]:
    fields = RunConfig.model_fields | RunOptions.model_fields
    options = [_option(name, field) for name, field in fields.items() if name not in _FROM_ARGUMENTS]
    arguments = _keyword("arguments", None, TaskArguments)
    return [arguments, *options, _keyword("workspace", Path(), Workspace)]


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    flags = [flag, *([_ALIASES[name]] if name in _ALIASES else [])]
    text = str(field.description)
    if name in _LISTS:
        option = typer.Option(*flags, help=f"Comma-separated. {text}", show_default=False)
        return _keyword(name, None, Annotated[str | None, option])
    return _keyword(name, field.default, Annotated[field.annotation, typer.Option(*flags, help=text)])


def _keyword(name: str, default: object, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
