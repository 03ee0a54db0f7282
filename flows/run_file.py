"""A run as a TOML file: `pkd run --config FILE` reads it, and each run writes one that repeats it.

tasks = ["RTE"]                 # every option of `pkd run`, named as in RunConfig and RunOptions
methods = ["kd", "pkd-skip"]
seeds = [1, 2, 3]

[settings.student]              # settings, by section
num_epochs = 6
"""

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig
from pkd_core.errors import ConfigError, quoted, reason
from pkd_core.pipeline.growing_record import GrowingRecord
from pkd_core.store.run_records import write_beside


def run_file(record: Path) -> Path:
    """Return the file that repeats a recorded run, beside its record."""
    return record.with_suffix(".toml")


def growing_record(
    workspace: Path, values: Mapping[str, Any], parameters: Mapping[str, Any]
) -> GrowingRecord:
    """Return the record of work in rounds, beside which the file that repeats it is written."""
    return GrowingRecord(workspace, values, lambda record: write_run_file(parameters, run_file(record)))


def write_run_file(parameters: Mapping[str, Any], path: Path) -> None:
    """Write the file that repeats a run or a search, given its parameters.

    Raises:
        StoreError: If the disk cannot be written.
    """
    # The workspace is where the file lies; it may be moved.
    values = {key: value for key, value in parameters.items() if key != "workspace"}
    write_beside(path, _to_toml(values))


def read_run_file(
    path: Path, known: Sequence[str] = (*RunConfig.model_fields, *RunOptions.model_fields)
) -> dict[str, Any]:
    """Return what a file asks for, with settings by dotted key.

    Args:
        path: The file.
        known: The keys that it may have.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or has a key that is no field.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}; give the TOML file of a run.") from None
    except RecursionError:
        raise ConfigError(f"{path}: expected a TOML file, got one that is nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: expected a TOML file, got one that cannot be read ({reason(error)})."
        ) from error
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1) or known
            hint = f"did you mean {near[0]}" if len(near) == 1 else f"the keys are {', '.join(known)}"
            raise ConfigError(
                f"{path}: there is no key {quoted(key)}: {hint}; settings stand in [settings.SECTION]."
            )
    if "settings" in values:
        values["settings"] = _dotted(path, values["settings"])
    return values


def _dotted(path: Path, sections: Any) -> dict[str, Any]:
    if not isinstance(sections, dict) or not all(isinstance(values, dict) for values in sections.values()):
        raise ConfigError(
            f"{path}: expected settings in sections, such as [settings.student] with num_epochs = 3, got "
            f"{quoted(sections)}."
        )
    return {
        f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()
    }


def _to_toml(values: Mapping[str, Any]) -> str:
    settings = values["settings"]
    lines = [
        f"{key} = {_value(value)}" for key, value in values.items() if key != "settings" and value is not None
    ]
    for section in dict.fromkeys(key.partition(".")[0] for key in settings):
        lines += ["", f"[settings.{section}]", *_lines_of(section, settings)]
    return "\n".join(lines) + "\n"


def _lines_of(section: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if key.startswith(f"{section}."):
            yield f"{key.removeprefix(f'{section}.')} = {_value(value)}"


def _value(value: Any) -> str:
    # What JSON writes of texts, numbers, booleans and lists of them is TOML, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
