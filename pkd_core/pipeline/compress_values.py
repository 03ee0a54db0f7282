"""A compression as JSON values, which mean the same from every current folder: for its record and its file."""

import shlex
from pathlib import Path
from typing import Any

from pkd_core.config.command import flag_of, typed
from pkd_core.config.compress import CompressConfig
from pkd_core.own_data.request import DataRequest

# Fields that may name a file or a folder of the current folder.
_PATHS = ("data", "dev", "test", "unlabelled", "teachers", "model", "student_model")
_REPEATED = ("texts", "label", "teachers")
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


def compress_command(data: DataRequest, config: CompressConfig) -> str:
    """Return `pkd compress` with everything that is not the default.

    Of files and folders it has the names alone: a path would be of one machine only.

    >>> data = DataRequest(data="/data/reviews.csv", texts=("title", "body"))
    >>> compress_command(data, CompressConfig(teachers=("/models/mine",), latency_ms=20, seeds=(1, 2)))
    'pkd compress reviews.csv --text title --text body --teacher mine --latency 20.0 --seeds 1,2'
    """
    words = ["pkd", "compress", data.data.name]
    for part in (data, config):
        given = part.model_dump(mode="json", exclude={"data", "settings"}, exclude_defaults=True)
        for name, value in given.items():
            for one in value if name in _REPEATED else [value]:
                words += [flag_of(name), typed(Path(one).name if _is_path(name, one) else one)]
    words += [f"{key}={typed(value)}" for key, value in sorted(config.settings.items())]
    return shlex.join(words)


def _is_path(name: str, given: Any) -> bool:
    """Return whether a value is a path, not a name on the hub, which has a slash too."""
    return name in _PATHS and (Path(given).is_absolute() or Path(given).exists())


def _absolute(given: Any) -> Any:
    if isinstance(given, list):
        return [_absolute(one) for one in given]
    path = Path(given).expanduser()
    try:
        return str(path.resolve()) if path.exists() else given
    except OSError:  # no path, but a name that is too long for one
        return given
