"""A run as it is asked for: what to compute, how, and in which workspace."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flows.workspace import workspace_name
from pkd_core.config.model_paths import model_paths
from pkd_core.config.overrides import build_run_config, build_run_options, fields_of
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig
from pkd_core.errors import ConfigError, quoted


@dataclass(frozen=True)
class Request:
    """What to compute, how, and where; the command line, the flow and its deployment pass it on unchanged."""

    run: RunConfig
    options: RunOptions
    workspace: Path

    @classmethod
    def build(cls, values: Mapping[str, Any], workspace: Path) -> Self:
        """Build a request from the fields of RunConfig and RunOptions as one flat mapping.

        Raises:
            ConfigError: A value is unknown, of the wrong type or out of range.
        """
        run = build_run_config(**fields_of(RunConfig, values))
        return cls(run, build_run_options(**fields_of(RunOptions, values)), workspace)

    def parameters(self) -> dict[str, Any]:
        """Return the flat mapping of `build`, with the workspace, as JSON values, valid in every current folder."""
        paths = {"workspace": workspace_name(self.workspace)} | model_paths(self.run)
        return self.run.model_dump(mode="json") | self.options.model_dump(mode="json") | paths


def given_settings(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings among a request's values, by dotted key.

    Raises:
        ConfigError: They are no mapping.
    """
    settings = values.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings cannot be {quoted(settings)}: give them by dotted key.")
    return settings
