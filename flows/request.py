"""What a command line asks for: a checked run, and where to work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkd_core.config.overrides import build_run_config, parse_assignments
from pkd_core.config.settings import DEFAULT_MODEL, METHODS, RunConfig
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """A run and where it works."""

    run: RunConfig
    workspace: Path
    device: str
    deep: bool
    strict: bool = False
    checkpoint_minutes: float = 5.0
    share: int = 1

    @classmethod
    def parse(
        cls,
        words: list[str] | None,
        methods: str | None,
        student_layers: str | None,
        seeds: str,
        model: str | None,
        workspace: Path,
        device: str,
        deep: bool,
        default_all: bool = False,
    ) -> "Request":
        """Read the command line's words.

        Raises:
            ConfigError: No task is named, or something named is unknown or out of range.
        """
        tasks = [word for word in words or [] if "=" not in word]
        if not tasks and not default_all:
            raise ConfigError(
                f"name at least one task, such as `pkd run RTE`; GLUE's are {', '.join(GLUE_TASKS)}."
            )
        run = build_run_config(
            tasks=tasks or list(GLUE_TASKS),
            methods=methods.split(",") if methods else METHODS,
            student_layers=student_layers.split(",") if student_layers else None,
            seeds=seeds.split(","),
            model=model or DEFAULT_MODEL,
            settings=parse_assignments(word for word in words or [] if "=" in word),
        )
        return cls(run, workspace, device, deep)

    def parameters(self) -> dict[str, Any]:
        """Return the flow's parameters, as JSON values."""
        # A serving process, which takes them too, has another current folder.
        model = Path(self.run.model).expanduser()
        return self.run.model_dump(mode="json") | {
            "model": str(model.resolve()) if model.is_dir() else self.run.model,
            "workspace": str(self.workspace.resolve()),
            "device": self.device,
            "deep": self.deep,
            "strict": self.strict,
            "checkpoint_minutes": self.checkpoint_minutes,
            "share": self.share,
        }
