"""A run as it is asked for: what to compute, how, and in which workspace."""

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pkd_core.config.model_paths import model_paths
from pkd_core.config.overrides import (
    build_run_config,
    build_run_options,
    check_key,
    fields_of,
    parse_assignments,
    setting_keys,
    validated,
)
from pkd_core.config.run_options import RunOptions
from pkd_core.config.section import Name, Section
from pkd_core.config.settings import RunConfig
from pkd_core.errors import ConfigError, quoted, shortened
from pkd_core.store.attached import CACHE_VARIABLE, attach, place_of
from pkd_core.store.network_folder import network_type
from pkd_core.store.os_errors import file_errors

# Where each keeps its database, if not in the workspace.
_PLACES = {"Prefect": "PREFECT_HOME", "MLflow": "MLFLOW_TRACKING_URI"}


class _Place(Section):
    workspace: Name


@dataclass(frozen=True)
class Request:
    """What to compute, how, and where; the command line, the flow and its deployment pass it on unchanged."""

    run: RunConfig
    options: RunOptions
    workspace: Path

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """Build a request from the fields of RunConfig and RunOptions and the workspace, as one flat mapping.

        Raises:
            ConfigError: A value is unknown, of the wrong type or out of range.
            StoreError: The workspace's path cannot be used.
        """
        return cls.build(parameters, open_workspace(parameters["workspace"]).resolve())

    @classmethod
    def build(cls, values: Mapping[str, Any], workspace: Path) -> Self:
        """Build a request from the fields of RunConfig and RunOptions as one flat mapping.

        Raises:
            ConfigError: A value is unknown, of the wrong type or out of range.
        """
        run = build_run_config(**fields_of(RunConfig, values))
        return cls(run, build_run_options(**fields_of(RunOptions, values)), workspace)

    def parameters(self) -> dict[str, Any]:
        """Return the flat mapping of `from_parameters` as JSON values, valid in every current folder."""
        paths = {"workspace": workspace_name(self.workspace)} | model_paths(self.run)
        return self.run.model_dump(mode="json") | self.options.model_dump(mode="json") | paths


def given_settings(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings among a request's values, by dotted key.

    Raises:
        ConfigError: They are no mapping.
    """
    settings = values.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings cannot be {quoted(settings)}: give them by dotted key.")
    return settings


def open_workspace(given: object) -> Path:
    """Return the folder of a workspace: its path, which need not exist, or this machine's folder of a shared place.

    Args:
        given: A path, or the URL of a place that several machines share.

    Raises:
        ConfigError: It is not a text, holds a NUL, is too long, or is not UTF-8, as Prefect and MLflow require; or the
            URL names no place.
        StoreError: The system refuses the path, or its links lead nowhere; or the place cannot be used.
    """
    name = validated(_Place, {"workspace": given}).workspace
    if "://" in name:
        workspace = attach(name)
        if kind := network_type(workspace):
            raise ConfigError(
                f"{workspace} must lie on a disk of this machine, where it works for {name}, and lies on {kind}; set "
                f"{CACHE_VARIABLE} to a folder on such a disk."
            )
        return workspace
    path = Path(name)
    with file_errors("use", path):
        path.exists()
        try:
            path.resolve()
        except RuntimeError as error:  # Python's answer to links in a circle
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    return path


def workspace_name(workspace: Path) -> str:
    """Return what a workspace is called on every machine and from every current folder: its URL, else its path.

    Raises:
        StoreError: The place that it belongs to cannot be used.
    """
    place = place_of(workspace)
    return str(workspace.resolve()) if place is None else place.url


def as_typed(workspace: Path) -> str:
    """Return what a workspace is called in a command: its URL, else its path as it was given.

    Raises:
        StoreError: The place that it belongs to cannot be used.
    """
    place = place_of(workspace)
    return str(workspace) if place is None else place.url


def check_addressable(workspace: Path) -> None:
    """Check that URLs can name files of the workspace: Prefect and MLflow keep their databases there.

    Raises:
        ConfigError: Its path has a character that means something else in a URL.
    """
    path = str(workspace.resolve())
    unusable = " ".join(char for char in "%?#" if char in path)
    servers = [name for name, variable in _PLACES.items() if not os.environ.get(variable)]
    if unusable and servers:
        raise ConfigError(
            f"{' and '.join(servers)} cannot use a folder with {unusable} in its path, got {path}; rename it, "
            "or give another --workspace."
        )


def split_arguments(arguments: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the tasks and the key=value settings among words in any order.

    Raises:
        ConfigError: A setting is not one word of the form key=value, or is given twice, or a task has a comma.
    """
    tasks, settings = split_words(arguments)
    for task in tasks:
        if "," in task:
            raise ConfigError(
                f"tasks are separated by spaces, not commas: {shortened(task.replace(',', ' '))}."
            )
    return tasks, settings


def split_words(arguments: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the names and the key=value settings among words in any order.

    Raises:
        ConfigError: A setting is not one word of the form key=value, or is given twice.
    """
    words = list(arguments)
    for word, *following in (words[start:] for start in range(len(words))):
        _check_is_one_word(word, following)
    settings = parse_assignments(word for word in words if "=" in word)
    return [word for word in words if "=" not in word], settings


def _check_is_one_word(word: str, following: list[str]) -> None:
    """Refuse `key = value`, `key =value`, `key= value` and `key value`, and write it as it should be."""
    key, equals, value = word.partition("=")
    if not equals and following and following[0].startswith("="):
        check_key(key)
    if value or key not in setting_keys():
        return
    parts = [part.removeprefix("=") for part in following[:2]]
    meant = next((part for part in parts if part and "=" not in part), "VALUE")
    raise ConfigError(f"{key} needs its value in the same word, without spaces: {key}={shortened(meant)}.")
