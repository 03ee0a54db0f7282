"""A run's models as they are named from any current folder."""

from pathlib import Path
from typing import Any

from pkd_core.config.settings import RunConfig


def model_paths(run: RunConfig) -> dict[str, Any]:
    """Return the absolute path of each model that is a folder, by the field of the run that names it.

    Own teachers are all listed if one of them is a folder, those of the hub by their names.
    """
    named = {"model": run.model, "student_model": run.student_model}
    paths: dict[str, Any] = {
        field: path for field, name in named.items() if name is not None and (path := _absolute(name))
    }
    if any(map(_absolute, run.teachers)):
        paths["teachers"] = [_absolute(name) or name for name in run.teachers]
    return paths


def _absolute(name: str) -> str | None:
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else None
