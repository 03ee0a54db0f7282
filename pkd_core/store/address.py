"""Where a stage lives in the workspace."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Area = Literal["data_feat", "artifacts"]
AREAS: tuple[Area, ...] = get_args(Area)


@dataclass(frozen=True)
class Address:
    """A stage's place: what it is asked to be made from is part of its name.

    Attributes:
        area: Top folder of the workspace.
        task: Task name, a plain folder name.
        stage: Stage name within the task, a plain folder name.
        fingerprint: Hash of everything that the stage depends on.
    """

    area: Area
    task: str
    stage: str
    fingerprint: str

    def __post_init__(self) -> None:
        for part in (self.task, self.stage, self.fingerprint):
            assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", part), f"not a plain folder name: {part!r}"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return f"{self.stage}-{self.fingerprint}"

    @property
    def folder(self) -> Path:
        """The published folder, relative to the workspace."""
        return Path(self.area, self.task, self.name)

    @property
    def work_folder(self) -> Path:
        """Where the stage works before it publishes, relative to the workspace; on `folder`'s disk."""
        return Path(self.area, self.task, ".work", self.name)

    @property
    def aside_folder(self) -> Path:
        """Where replaced copies of the task's stages are kept, relative to the workspace."""
        return Path(self.area, self.task, ".aside")
