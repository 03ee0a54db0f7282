"""A compression as it is asked for: its data, how it is compressed, how it is computed, and where the result goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from flows.request import given_settings
from flows.run_file import growing_record
from flows.workspace import workspace_name
from pkd_core.config.compress import CompressConfig, build_compress_config
from pkd_core.config.overrides import build_run_options, fields_of, validated
from pkd_core.config.run_options import RunOptions
from pkd_core.config.section import Name, Section
from pkd_core.own_data.request import DataRequest
from pkd_core.pipeline.compress_values import compression_values, recorded_values
from pkd_core.pipeline.growing_record import GrowingRecord


class Output(Section):
    """Where the result goes."""

    out: Annotated[
        Name | None,
        Field(
            description="Folder for copies of what you deploy: the model, its bundle without torch, and the page; new, "
            "or of an earlier run."
        ),
    ] = None


FIELDS = (
    DataRequest.model_fields | CompressConfig.model_fields | Output.model_fields | RunOptions.model_fields
)


@dataclass(frozen=True)
class CompressRequest:
    """What to compress, how, and where; the command line, the flow and its deployment pass it on unchanged."""

    data: DataRequest
    config: CompressConfig
    options: RunOptions
    output: Output
    workspace: Path

    @classmethod
    def build(cls, values: Mapping[str, Any], workspace: Path) -> Self:
        """Build a request from the fields of all its parts as one flat mapping.

        Raises:
            ConfigError: A value is unknown, of the wrong type or out of range.
        """
        given_settings(values)
        return cls(
            validated(DataRequest, fields_of(DataRequest, values)),
            build_compress_config(**fields_of(CompressConfig, values)),
            build_run_options(**fields_of(RunOptions, values)),
            validated(Output, fields_of(Output, values)),
            workspace,
        )

    @property
    def out(self) -> Path | None:
        """Folder for copies of what is deployed."""
        return None if self.output.out is None else Path(self.output.out)

    def parameters(self) -> dict[str, Any]:
        """Return the flat mapping of `build`, with the workspace, as JSON values, valid in every current folder."""
        values = compression_values(self.data, self.config)
        for part in (self.output, self.options):
            values |= part.model_dump(mode="json")
        if self.out is not None:
            values["out"] = str(self.out.resolve())
        return values | {"workspace": workspace_name(self.workspace)}

    def recorded(self, task: str) -> GrowingRecord:
        """Return the record of the compression of a task, to which its plans are added while it runs."""
        values = recorded_values(task, self.data, self.config)
        return growing_record(self.workspace, values, self.parameters())
