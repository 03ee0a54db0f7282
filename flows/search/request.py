"""A search as it is asked for: a run over one task, and the settings of the search by their keys `search.*`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flows.request import Request, given_settings
from flows.run_file import growing_record
from pkd_core.config.model_paths import model_paths
from pkd_core.config.search import SearchConfig, build_search_config, searched_rounds
from pkd_core.errors import ConfigError
from pkd_core.pipeline.growing_record import GrowingRecord

PREFIX = "search."


@dataclass(frozen=True)
class SearchRequest:
    """What to search, how, and where; the command line, the flow and its deployment pass it on unchanged."""

    request: Request
    config: SearchConfig

    @classmethod
    def build(cls, values: Mapping[str, Any], workspace: Path) -> Self:
        """Build a search from the fields of RunConfig and RunOptions, whose settings have those of the search.

        Raises:
            ConfigError: A value is unknown, of the wrong type or out of range.
        """
        settings = given_settings(values)
        own = {key.removeprefix(PREFIX): value for key, value in settings.items() if key.startswith(PREFIX)}
        others = {key: value for key, value in settings.items() if not key.startswith(PREFIX)}
        config = build_search_config(own)
        request = Request.build({**values, "settings": others}, workspace)
        if request.run.teachers:
            raise ConfigError(
                "pkd search fine-tunes the teacher itself; leave out --teacher, or use pkd run."
            )
        searched_rounds(config, request.run)
        return cls(request, config)

    @property
    def workspace(self) -> Path:
        """Folder that holds data_raw, data_feat and artifacts."""
        return self.request.workspace

    def recorded(self) -> GrowingRecord:
        """Return the record of the search, to which its plans are added while it runs."""
        run = self.request.run
        config = self.config.model_dump(mode="json")
        values = run.model_dump(mode="json") | model_paths(run) | {"search": config}
        return growing_record(self.workspace, values, self.parameters())

    def parameters(self) -> dict[str, Any]:
        """Return the mapping of `build`, with the workspace, as JSON values, valid in every current folder."""
        values = self.request.parameters()
        given = self.config.model_dump(mode="json", include=self.config.model_fields_set)
        settings = values["settings"] | {f"{PREFIX}{name}": value for name, value in given.items()}
        return values | {"settings": settings}
