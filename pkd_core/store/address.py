"""Where a stage lives in the workspace, and the record of a published one that travels between stages."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

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
    def backup_folder(self) -> Path:
        """Where replaced copies of the task's stages are kept, relative to the workspace."""
        return Path(self.area, self.task, ".aside")


@dataclass(frozen=True)
class StageRecord:
    """One published stage.

    Attributes:
        task: Task name as GLUE spells it, such as "RTE".
        stage: The stage's name within its task, such as "tokens", "teacher" or "pkd-skip-3l-s1".
        fingerprint: Hash of everything that the stage was asked to be made from; its address.
        digest: Hash of the bytes that it published; what followers compare to know whether they are stale.
        path: Published folder, relative to the workspace, with forward slashes.
        facts: A few JSON scalars worth showing: rows, dev score, parameters.
    """

    task: str
    stage: str
    fingerprint: str
    digest: str
    path: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StageRecord":
        """Rebuild a record from `to_json`'s object."""
        return cls(**value)
