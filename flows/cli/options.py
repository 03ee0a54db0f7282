"""The options of `pkd run`, `pkd plan` and `pkd up`: one for each field of RunConfig and RunOptions."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from flows.cli.completion import complete_arguments, complete_methods
from flows.cli.lists import split_list, split_numbers
from flows.cli.words import split_arguments
from flows.request import Request
from flows.run_file import read_run_file
from flows.workspace import open_workspace
from pkd_core.config.command import flag_of
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError

_REPEATED = ("teachers", "texts", "label")
_LISTS = {"methods": split_list, "student_layers": split_numbers, "seeds": split_numbers}
_LIST_HELP = {
    "methods": "Comma-separated.",
    "student_layers": "Comma-separated, or a range such as 2-4.",
    "seeds": "Comma-separated, or a range such as 1-5.",
}
_FROM_ARGUMENTS = ("tasks", "settings")


def _opened(given: str | Path) -> Path:
    return open_workspace(str(given))


Workspace = Annotated[
    Path,
    typer.Option(
        help="Folder that holds data_raw, data_feat and artifacts; or s3://bucket/prefix or file:///folder, which "
        "several machines share.",
        metavar="<path|url>",
        parser=_opened,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone, for a program (docs/json.md).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write the report and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Write the libraries' log as well.")]
# Of `pkd plan`, which takes the very line that is to be run.
IgnoredQuiet = Annotated[bool, typer.Option("--quiet", "-q", hidden=True)]
IgnoredVerbose = Annotated[bool, typer.Option("--verbose", "-v", hidden=True)]
TaskArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TASK|key=value",
        help="Tasks, and settings by dotted key (`pkd settings` lists them).",
        autocompletion=complete_arguments,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(help="TOML file of tasks, options and settings; what is typed overrides it."),
]


def takes_request(
    default_all: bool = False, build: Callable[[Mapping[str, Any], Path], Any] = Request.build
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for a command whose first parameter is a request: it gets the options of a run instead.

    The command's further parameters stay options of its own.

    Args:
        default_all: Whether no task means all of GLUE's.
        build: Builds the request from the values of the options and the workspace.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def parse_and_call(
            arguments: list[str] | None, config: Path | None, workspace: Path, **given: Any
        ) -> None:
            own = {name: given.pop(name) for name in own_parameters}
            typed = {name: value for name, value in given.items() if value is not None}
            typed |= {name: split(typed[name]) for name, split in _LISTS.items() if name in typed}
            from_file = read_run_file(config) if config else {}
            values = _merged(arguments or [], typed, from_file, default_all)
            command(build(values, workspace), **own)

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


def _merged(
    arguments: list[str], typed: Mapping[str, Any], from_file: Mapping[str, Any], default_all: bool
) -> dict[str, Any]:
    """Return what a file asks for, with what is typed over it: tasks replace tasks, and a setting its own key."""
    tasks, settings = split_arguments(arguments)
    tasks = tasks or from_file.get("tasks") or (list(GLUE_TASKS) if default_all else [])
    if not tasks:
        raise ConfigError(
            f"name at least one task, such as `pkd run RTE`; GLUE's are {', '.join(GLUE_TASKS)}."
        )
    # The one field of a run that may be typed among its settings too, as documents on the method write it.
    convention = {"convention": settings.pop("convention")} if "convention" in settings else {}
    if convention and typed.get("convention", convention["convention"]) != convention["convention"]:
        raise ConfigError(
            "the convention is given twice, by --convention and by convention=; give one of them."
        )
    all_settings = from_file.get("settings", {}) | settings
    return {**from_file, **typed, **convention, "tasks": tasks, "settings": all_settings}


def _run_parameters() -> list[inspect.Parameter]:
    fields = RunConfig.model_fields | RunOptions.model_fields
    options = [
        option_of(name, field, _LISTS) for name, field in fields.items() if name not in _FROM_ARGUMENTS
    ]
    arguments = keyword("arguments", None, TaskArguments)
    return [
        arguments,
        *options,
        keyword("config", None, ConfigFile),
        keyword("workspace", Path(), Workspace),
    ]


def option_of(name: str, field: FieldInfo, lists: Collection[str]) -> inspect.Parameter:
    """Return the option of a field, which is None where it is not given: the file of --config may have it.

    Args:
        name: The field's name.
        field: The field.
        lists: Names of fields whose values are typed between commas.
    """
    flag = flag_of(name)
    flags = [f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag]
    text = str(field.description)
    if name in lists:
        completion = complete_methods if name == "methods" else None
        option = typer.Option(*flags, help=f"{_LIST_HELP[name]} {text}", autocompletion=completion)
        return keyword(name, None, Annotated[str | None, option])
    if name in _REPEATED:
        option = typer.Option(flag, help=f"{text} Repeatable.", show_default=False)
        return keyword(name, None, Annotated[list[str] | None, option])
    if field.annotation is not bool and field.default is not None:
        text += f"  [default: {field.default}]"
    kind: Any = str if field.default is None else field.annotation
    return keyword(name, None, Annotated[kind | None, typer.Option(*flags, help=text, show_default=False)])


def keyword(name: str, default: object, annotation: object) -> inspect.Parameter:
    """Return a keyword parameter of a command."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
