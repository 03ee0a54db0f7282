"""What each setting means, which values it takes, which methods read it, and where a model's value comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from pkd_core.config.conventions import CONVENTIONS
from pkd_core.config.overrides import build_settings
from pkd_core.config.presets import Preset, preset_for
from pkd_core.config.readers import check_settings_are_read, is_of_compressions, methods_reading
from pkd_core.config.settings import METHODS, ConventionName, Method, Settings

_NO_PRESET = Preset({}, "", exact=False)
_TYPES: Mapping[Any, str] = {bool: "true or false", int: "integer", float: "number"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: Dotted key, such as "student.num_epochs".
        type: "integer", "number", "true or false", or the values to choose from.
        bounds: Smallest and largest value, such as "8 to 512"; empty where there are none.
        default: Its value without a preset.
        meaning: A sentence.
        methods: The methods that read it.
    """

    key: str
    type: str
    bounds: str
    default: Any
    meaning: str
    methods: tuple[Method, ...]

    @property
    def description(self) -> str:
        """Its meaning, its possible values, and the methods or the command that read it where not all do."""
        values = f"{self.type}, {self.bounds}" if self.bounds else self.type
        readers = "" if self.methods == METHODS else f" Read by {', '.join(self.methods)}."
        readers += " Read by `pkd compress` alone." if is_of_compressions(self.key) else ""
        return f"{self.meaning} ({values}).{readers}"


@dataclass(frozen=True)
class SettingValue:
    """A setting's value for one model; `source` is "default", the preset's row, the convention, or "given"."""

    setting: Setting
    value: Any
    source: str


def all_settings() -> list[Setting]:
    """Return every setting, in the order of the sections."""
    return [
        _setting(f"{section}.{name}", field)
        for section, values in dict(Settings()).items()
        for name, field in type(values).model_fields.items()
    ]


def explain_settings(
    task: str | None,
    method: Method,
    depths: tuple[int, int, int],
    given: Mapping[str, Any],
    convention: ConventionName = "default",
) -> list[SettingValue]:
    """Return the settings that a student's stages and its teacher's read, each with its value and its source.

    Args:
        task: The task, whose presets apply; None for the defaults.
        method: The student's method.
        depths: Depth of the student, of its teacher, and of the pretrained model that the student is taken from.
        given: Values by dotted key.
        convention: How the paper is read.

    Raises:
        ConfigError: A given key is unknown, has no effect on the method, or its value is out of range.
    """
    teacher = preset_for(task, "teacher", depths[1]) if task else _NO_PRESET
    student = preset_for(task, method, *depths) if task else _NO_PRESET
    of_convention = CONVENTIONS[convention].settings
    values = build_settings(teacher.settings, student.settings, of_convention, given).model_dump(mode="json")
    check_settings_are_read(given, [method])
    sources = (
        dict.fromkeys(teacher.settings, teacher.source)
        | dict.fromkeys(student.settings, student.source)
        | dict.fromkeys(of_convention, f"convention {convention}")
        | dict.fromkeys(given, "given")
    )
    return [
        SettingValue(one, _value(values, one.key), sources.get(one.key, "default"))
        for one in all_settings()
        if method in one.methods
    ]


def _value(values: Mapping[str, Mapping[str, Any]], key: str) -> Any:
    section, _, name = key.partition(".")
    return values[section][name]


def _setting(key: str, field: FieldInfo) -> Setting:
    if get_origin(field.annotation) is Literal:
        *choices, last = map(str, get_args(field.annotation))
        kind = f"{', '.join(choices)} or {last}"
    else:
        kind = _TYPES[field.annotation]
    return Setting(
        key, kind, _bounds(field), field.default, str(field.description).rstrip("."), methods_reading(key)
    )


def _bounds(field: FieldInfo) -> str:
    bounds = {
        name: getattr(one, name)
        for one in field.metadata
        for name in ("ge", "le", "lt")
        if hasattr(one, name)
    }
    if not bounds:
        return ""
    # Only integers have an excluded bound.
    most = bounds["le"] if "le" in bounds else bounds["lt"] - 1
    return f"{bounds['ge']} to {most}"
