"""One way of overriding settings, for every entry point: dotted keys over presets over defaults."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from pkd_core.config.settings import RunConfig, RunOptions, Settings
from pkd_core.errors import ConfigError


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
        if not equals:
            raise ConfigError(f"expected key=value, got {argument!r}; for example distill.temperature=5.")
        if key in settings:
            raise ConfigError(f"{key!r} is set twice; give it once.")
        settings[key] = value
    return settings


def build_settings(*layers: Mapping[str, Any]) -> Settings:
    """Build settings from defaults and layers of dotted keys, later layers over earlier ones.

    Raises:
        ConfigError: A key is unknown or a value out of range; names the key.
    """
    known = setting_keys()
    nested: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in known:
                raise ConfigError(_unknown_key_message(key, known))
            section, _, name = key.partition(".")
            nested.setdefault(section, {})[name] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise ConfigError(_first_error_message(error)) from error


def build_run_config(**values: Any) -> RunConfig:
    """Build a run's configuration, and check its settings' keys and values at once.

    Raises:
        ConfigError: A value is of the wrong kind or out of range, or a setting's key is unknown.
    """
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_first_error_message(error)) from error
    for name in ("tasks", "methods", "student_layers", "seeds"):
        given = getattr(config, name) or ()
        if len(set(given)) < len(given):
            raise ConfigError(
                f"{name} names the same thing twice: {', '.join(map(str, given))}; give each once."
            )
    build_settings(config.settings)
    return config


def build_run_options(**values: Any) -> RunOptions:
    """Build a run's options.

    Raises:
        ConfigError: An option is unknown, of the wrong type or out of range.
    """
    try:
        return RunOptions.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_first_error_message(error)) from error


def _unknown_key_message(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(near)}"
        if near
        else f"the sections are {', '.join(Settings.model_fields)}"
    )
    return f"there is no setting {key!r}: {hint}."


def _first_error_message(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    return f"{key} cannot be {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}."
