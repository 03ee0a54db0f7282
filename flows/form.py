"""The flow's parameters, from which Prefect makes the form of a deployment's run, and checks what it is sent."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

from prefect.client.schemas.objects import State
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from pkd_core.config.search import SearchConfig
from pkd_core.config.settings import RunConfig, RunOptions, Settings
from pkd_core.data.glue import GLUE_TASKS

_SECTIONS: Mapping[str, Any] = {name: field.annotation for name, field in Settings.model_fields.items()}
_WORKSPACE = "Folder that holds data_raw, data_feat and artifacts."


def parameters_section() -> str:
    """Return the docstring's section from which Prefect's page describes each parameter."""
    fields = RunConfig.model_fields | RunOptions.model_fields
    lines = [f"    {name}: {field.description}" for name, field in fields.items()]
    return "\n".join(["Args:", *lines, f"    workspace: {_WORKSPACE}"])


def parameters_signature() -> inspect.Signature:
    """Return one keyword for each field of RunConfig and RunOptions, and one for the workspace."""
    return _signature(_settings_type(_SECTIONS), tuple(GLUE_TASKS))


def search_signature() -> inspect.Signature:
    """Return the same for a search: its settings are among those of the run, and it has no default task."""
    return _signature(_settings_type({**_SECTIONS, "search": SearchConfig}), inspect.Parameter.empty)


def _signature(settings: Any, tasks: Any) -> inspect.Signature:
    defaults = {"tasks": tasks}
    fields = RunConfig.model_fields | RunOptions.model_fields
    types = {name: field.annotation for name, field in fields.items()} | {"settings": settings}
    keywords = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name, field.default),
            annotation=types[name],
        )
        for name, field in fields.items()
    ]
    workspace = inspect.Parameter("workspace", inspect.Parameter.KEYWORD_ONLY, default=".", annotation=str)
    return inspect.Signature([*keywords, workspace], return_annotation=State)


def _settings_type(sections: Mapping[str, Any]) -> Any:
    """Return a type of dictionaries that may hold each setting by its dotted key, with its own type and bounds."""
    entries = {
        f"{section}.{name}": Annotated[(field.annotation, *field.metadata, Field(title=f"{section}.{name}"))]
        for section, model in sections.items()
        for name, field in model.model_fields.items()
    }
    # mypy wants the entries as they are written in the source.
    return with_config(ConfigDict(extra="forbid"))(TypedDict("settings", entries, total=False))  # type: ignore[operator]
