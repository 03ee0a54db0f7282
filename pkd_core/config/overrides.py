"""One way of overriding settings, for every entry point: dotted keys over presets over defaults."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pkd_core.config.placement import check_options_of_placement
from pkd_core.config.readers import check_settings_are_read, check_settings_of_command
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig, Settings
from pkd_core.errors import ConfigError, listed, quoted, shortened

_MAX_STUDENTS = 1000
_Model = TypeVar("_Model", bound=BaseModel)


def setting_keys() -> tuple[str, ...]:
    """Return every dotted key, such as "distill.temperature", in the order of the sections."""
    sections = {name: type(getattr(Settings(), name)) for name in Settings.model_fields}
    return tuple(f"{name}.{field}" for name, section in sections.items() for field in section.model_fields)


def parse_assignments(arguments: Iterable[str]) -> dict[str, str]:
    """Read "key=value" arguments into a mapping.

    Raises:
        ConfigError: An argument has no "=" or a key occurs twice.
    """
    settings: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"expected key=value, got {quoted(argument)}; for example distill.temperature=5."
            )
        if key in settings:
            raise ConfigError(f"{quoted(key)} is set twice; give it once.")
        settings[key] = value
    return settings


def build_settings(*layers: Mapping[str, Any]) -> Settings:
    """Build settings from defaults and layers of dotted keys, later layers over earlier ones.

    Raises:
        ConfigError: A key is unknown or a value out of range; names the key.
    """
    nested: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for key, value in layer.items():
            check_key(key)
            section, _, name = key.partition(".")
            nested.setdefault(section, {})[name] = value
    return validated(Settings, nested)


def check_key(key: str) -> None:
    """Check that there is a setting of this key.

    Raises:
        ConfigError: There is none; names similar ones.
    """
    known = setting_keys()
    if key not in known:
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(near)}"
            if near
            else f"the sections are {', '.join(Settings.model_fields)}"
        )
        raise ConfigError(f"there is no setting {quoted(key)}: {hint}.")


def build_run_config(*, is_compression: bool = False, **values: Any) -> RunConfig:
    """Build a run's configuration, and check its settings' keys and values at once; texts become numbers.

    Args:
        is_compression: Whether the run is that of a compression, which exports and times models too.
        values: Fields of the configuration.

    Raises:
        ConfigError: A value is of the wrong kind or out of range, or a setting is unknown or has no effect.
    """
    config = validated(RunConfig, values)
    for name in ("tasks", "methods", "student_layers", "seeds"):
        given = getattr(config, name) or ()
        # Folders whose names differ in capitals alone are one folder on some file systems.
        if len({str(value).casefold() for value in given}) < len(given):
            raise ConfigError(f"{name} names the same thing twice: {listed(given)}; give each once.")
    depths = len(config.student_layers or (1,))
    num_students = len(config.tasks) * len(config.methods) * depths * len(config.seeds)
    if num_students > _MAX_STUDENTS:
        raise ConfigError(
            f"a run trains at most {_MAX_STUDENTS} students, and this one has {num_students} by tasks, methods, "
            "depths and seeds; divide it into several runs."
        )
    settings = build_settings(config.settings).model_dump(mode="json")
    check_settings_are_read(config.settings, config.methods)
    check_settings_of_command(config.settings, bool(config.teachers), is_compression)
    return config.model_copy(update={"settings": {key: _at(settings, key) for key in config.settings}})


def build_run_options(**values: Any) -> RunOptions:
    """Build a run's options.

    Raises:
        ConfigError: An option is unknown, of the wrong type or out of range, or two do not fit together.
    """
    options = validated(RunOptions, values)
    check_options_of_placement(options.placement, options.device, options.students_per_gpu)
    return options


def validated(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Build a model of values that a user gave.

    Raises:
        ConfigError: One is unknown, of the wrong type or out of range; names the first.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from error


def fields_of(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some values that are fields of a model."""
    return {name: values[name] for name in model.model_fields if name in values}


def _at(settings: Mapping[str, Mapping[str, Any]], key: str) -> Any:
    section, _, name = key.partition(".")
    return settings[section][name]


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(shortened(str(part)) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "literal_error":
        message += _similar(str(problem["input"]), re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return f"{key} cannot be {quoted(problem['input'])}: {message[0].lower()}{message[1:]}."


def _similar(given: str, choices: list[str]) -> str:
    near = [choice for choice in choices if given and choice.startswith(given)]
    near = near or difflib.get_close_matches(given.casefold(), choices, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}" if near else ""
