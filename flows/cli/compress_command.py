"""The options of `pkd compress`: one for each field of its data, of how it compresses, and of how it computes."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.completion import complete_arguments
from flows.cli.lists import split_list, split_numbers
from flows.cli.options import AsJson, ConfigFile, Quiet, Verbose, Workspace, keyword, option_of
from flows.cli.run import amount
from flows.cli.words import split_words
from flows.compress.request import FIELDS, CompressRequest
from flows.environment import prepare_environment
from flows.run_file import read_run_file
from pkd_core.errors import ConfigError, listed

_LISTS: dict[str, Callable[[str], list[str]]] = {"methods": split_list, "seeds": split_numbers}
_FROM_ARGUMENTS = ("data", "settings")
_Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA|key=value",
        help="A file of texts and labels, or the name of a task; settings by dotted key (`pkd settings` lists them).",
        autocompletion=complete_arguments,
    ),
]
_Plan = Annotated[
    bool,
    typer.Option("--plan", help="Show what would be computed and what is done; compute and keep nothing."),
]


def _parameters() -> list[inspect.Parameter]:
    options = [
        option_of(name, field, _LISTS) for name, field in FIELDS.items() if name not in _FROM_ARGUMENTS
    ]
    return [
        keyword("arguments", None, _Arguments),
        *options,
        keyword("plan", False, _Plan),
        keyword("config", None, ConfigFile),
        keyword("workspace", Path(), Workspace),
        keyword("as_json", False, AsJson),
        keyword("quiet", False, Quiet),
        keyword("verbose", False, Verbose),
    ]


def compress(
    arguments: list[str] | None,
    plan: bool,
    config: Path | None,
    workspace: Path,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> None:
    """Make a small, fast classifier from a file of texts and labels, or from texts alone and your fine-tuned one."""
    from flows.cli import compress as command

    if as_json and not plan:
        raise ConfigError("--json is for --plan; what a compression has found is in its compression.json.")
    typed = {name: value for name, value in given.items() if value not in (None, [])}
    typed |= {name: split(typed[name]) for name, split in _LISTS.items() if name in typed}
    from_file = read_run_file(config, tuple(FIELDS)) if config else {}
    asked = CompressRequest.build(_merged(arguments or [], typed, from_file), workspace)
    shown = amount(quiet, verbose)
    prepare_environment(workspace)
    if plan:
        command.preview_compression(asked, as_json)
    else:
        command.compress(asked, shown)


def _merged(arguments: list[str], typed: dict[str, Any], from_file: dict[str, Any]) -> dict[str, Any]:
    """Return what a file asks for, with what is typed over it."""
    words, settings = split_words(arguments)
    if len(words) > 1:
        raise ConfigError(
            f"one file or task is compressed at a time, got {listed(words)}; give further files with --dev, --test and "
            "--unlabelled."
        )
    if not words and "data" not in from_file:
        raise ConfigError(
            "give a file of texts and labels, such as `pkd compress reviews.csv`, or the name of a task in data_raw."
        )
    if from_file and {"student_layers", "latency_ms"} & typed.keys():
        # One replaces the other, whichever the file has.
        from_file = {
            key: value for key, value in from_file.items() if key not in ("student_layers", "latency_ms")
        }
    data = {"data": words[0]} if words else {}
    return {**from_file, **typed, **data, "settings": from_file.get("settings", {}) | settings}


compress.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined]
compress.__annotations__ = {parameter.name: parameter.annotation for parameter in _parameters()}
