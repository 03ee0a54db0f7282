"""The form of a deployment's run: choices where there are few values, and settings with their types and bounds."""

from typing import Any

from prefect.utilities.callables import parameter_schema

from flows.pkd import pkd
from pkd_core.config.overrides import setting_keys
from pkd_core.config.settings import METHODS


def schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of the parameters, and that of the settings."""
    found = parameter_schema(pkd.fn).model_dump()
    return found["properties"], found["definitions"]["settings"]


def test_methods_are_a_choice() -> None:
    parameters, _ = schema()
    assert parameters["methods"]["items"]["enum"] == list(METHODS)


def test_each_setting_is_a_field_and_no_other_is_taken() -> None:
    _, settings = schema()
    assert tuple(settings["properties"]) == setting_keys()
    assert settings["additionalProperties"] is False
    assert "required" not in settings


def test_settings_have_their_types_choices_and_bounds() -> None:
    fields = schema()[1]["properties"]
    assert fields["student.precision"]["enum"] == ["auto", "float32", "bfloat16"]
    assert fields["student.init"]["enum"] == ["pretrained-first", "teacher-first", "teacher-skip"]
    assert fields["distill.normalize"]["type"] == "boolean"
    assert fields["distill.alpha"] == {"type": "number", "minimum": 0, "maximum": 1, "title": "distill.alpha"}
    # A field without a default is not sent unless it is filled in.
    assert not any("default" in field for field in fields.values())
