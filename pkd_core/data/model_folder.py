"""The files of a model folder: only those inside it are read."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from pkd_core.errors import ModelError, quoted, reason


def find_file(folder: Path, name: str) -> Path | None:
    """Return the path of a model's file, or None if there is no such file.

    Args:
        folder: The model's folder.
        name: The file's name relative to it; it may come from another file of the model.

    Raises:
        ModelError: The name, or a link of that name, leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name:
        raise ModelError(
            f"{folder}: expected names of files inside the folder, got {quoted(name)}; fetch the model again"
        )
    path = folder / name
    try:
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(_root(folder.resolve())):
            raise ModelError(
                f"{path}: expected a file inside the model's folder, got a link out of it; copy the file there"
            )
    except OSError:  # a name that is too long, or a folder that may not be searched
        return None
    return path


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: The file cannot be read, or holds anything else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: expected a readable JSON object, got {reason(error)}; fetch it again"
        ) from error
    except RecursionError:
        raise ModelError(
            f"{path}: expected a readable JSON object, got one that is nested too deeply; fetch it again"
        ) from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: expected a readable JSON object, got {quoted(values)}; fetch it again")
    return values


def _root(folder: Path) -> Path:
    """Return the folder that a model's links may lead to: in the hub's cache, they lead to `blobs` two levels up."""
    repository = folder.parent.parent
    is_snapshot = folder.parent.name == "snapshots" and (repository / "blobs").is_dir()
    return repository if is_snapshot else folder
