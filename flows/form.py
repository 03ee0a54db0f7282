"""The flow's parameters, from which Prefect makes the form of a deployment's run, and checks what it is sent."""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from prefect.client.schemas.objects import State
from pydantic import ConfigDict, Field, with_config
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict

from pkd_core.config.run_options import RunOptions
from pkd_core.config.search import SearchConfig
from pkd_core.config.settings import RunConfig, Settings
from pkd_core.data.glue import GLUE_TASKS

_SECTIONS: Mapping[str, Any] = {name: field.annotation for name, field in Settings.model_fields.items()}
WORKSPACE = "Folder that holds data_raw, data_feat and artifacts, or the URL of what several machines share."


def parameters_section() -> str:
    """Return the docstring's section from which Prefect's page describes each parameter."""
    fields = RunConfig.model_fields | RunOptions.model_fields
    lines = [f"    {name}: {field.description}" for name, field in fields.items()]
    return "\n".join(["Args:", *lines, f"    workspace: {WORKSPACE}"])


def parameters_signature() -> inspect.Signature:
    """Return one keyword for each field of RunConfig and RunOptions, and one for the workspace."""
    return _run_signature(settings_type(), tuple(GLUE_TASKS))


def search_signature() -> inspect.Signature:
    """Return the same for a search: its settings are among those of the run, and it has no default task."""
    return _run_signature(settings_type({"search": SearchConfig}), inspect.Parameter.empty)


def _run_signature(settings: Any, tasks: Any) -> inspect.Signature:
    return signature_of(
        RunConfig.model_fields | RunOptions.model_fields, {"settings": settings}, {"tasks": tasks}
    )


def signature_of(
    fields: Mapping[str, FieldInfo], types: Mapping[str, Any], defaults: Mapping[str, Any]
) -> inspect.Signature:
    """Return one keyword for each field, and one for the workspace.

    Args:
        fields: The fields by name.
        types: Types by name, in place of the fields' own.
        defaults: Defaults by name, in place of the fields' own.
    """
    keywords = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name, field.default),
            annotation=types.get(name, field.annotation),
        )
        for name, field in fields.items()
    ]
    workspace = inspect.Parameter("workspace", inspect.Parameter.KEYWORD_ONLY, default=".", annotation=str)
    return inspect.Signature([*keywords, workspace], return_annotation=State)


def settings_type(further: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return a type of dictionaries that may hold each setting by its dotted key, with its own type and bounds.

    Args:
        further: Sections besides those of a run, by name.
    """
    entries = {
        f"{section}.{name}": Annotated[(field.annotation, *field.metadata, Field(title=f"{section}.{name}"))]
        for section, model in {**_SECTIONS, **further}.items()
        for name, field in model.model_fields.items()
    }
    # mypy wants the entries as they are written in the source.
    return with_config(ConfigDict(extra="forbid"))(TypedDict("settings", entries, total=False))  # type: ignore[operator]
