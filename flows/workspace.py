"""The folder of a workspace: opened as it is given, and what it is called elsewhere."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkd_core.config.overrides import validated
from pkd_core.config.section import Name, Section
from pkd_core.errors import ConfigError
from pkd_core.store.attached import CACHE_VARIABLE, attach, place_of
from pkd_core.store.network_folder import network_type
from pkd_core.store.os_errors import file_errors

# Where each keeps its database, if not in the workspace.
_PLACES = {"Prefect": "PREFECT_HOME", "MLflow": "MLFLOW_TRACKING_URI"}


class _Place(Section):
    workspace: Name


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


def given_workspace(parameters: Mapping[str, Any]) -> Path:
    """Return the whole path of the workspace among a flow's parameters.

    Raises:
        ConfigError: It is not a text, holds a NUL, is too long, or is not UTF-8; or its URL names no place.
        StoreError: Its path or place cannot be used.
    """
    return open_workspace(parameters["workspace"]).resolve()


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
