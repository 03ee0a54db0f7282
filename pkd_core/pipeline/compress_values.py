"""A compression as JSON values, which mean the same from every current folder: for its record and its file."""

from pathlib import Path
from typing import Any

from pkd_core.config.compress import CompressConfig
from pkd_core.own_data.request import DataRequest

# Fields that may name a file or a folder of the current folder.
_PATHS = ("data", "dev", "test", "unlabelled", "teachers", "model", "student_model")
# What a record of a run has too, and `pkd runs` shows.
_OF_RUNS = ("methods", "seeds", "model", "student_model", "teachers")


def compression_values(data: DataRequest, config: CompressConfig) -> dict[str, Any]:
    """Return what is compressed and how, as JSON values; a file or a folder has its absolute path."""
    values = data.model_dump(mode="json") | config.model_dump(mode="json")
    return values | {name: _absolute(values[name]) for name in _PATHS if values[name]}


def recorded_values(task: str, data: DataRequest, config: CompressConfig) -> dict[str, Any]:
    """Return what distinguishes a compression from other runs of a workspace."""
    values = compression_values(data, config)
    layers = None if config.student_layers is None else [config.student_layers]
    of_runs = {name: values[name] for name in _OF_RUNS}
    return {"tasks": [task], "student_layers": layers, **of_runs, "compress": values}


def _absolute(given: Any) -> Any:
    if isinstance(given, list):
        return [_absolute(one) for one in given]
    path = Path(given).expanduser()
    try:
        return str(path.resolve()) if path.exists() else given
    except OSError:  # no path, but a name that is too long for one
        return given
