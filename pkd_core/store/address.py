"""A stage's address in the workspace, and the record of a published stage that is passed between stages."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

Area = Literal["data_feat", "artifacts"]
AREAS: tuple[Area, ...] = get_args(Area)
# What lies beside the tasks' folders in `artifacts`. Some file systems do not tell capitals from small letters.
_RESERVED = re.compile(r"(devices|durations\.jsonl|logs|prefect|reports|runs|mlflow.*)", re.IGNORECASE)


def is_reserved(name: str) -> bool:
    """Return whether a task of that name would share its folder with something else in the workspace.

    >>> is_reserved("mlflow.db"), is_reserved("Logs"), is_reserved("prefects")
    (True, True, False)
    """
    return _RESERVED.fullmatch(name) is not None


@dataclass(frozen=True)
class Address:
    """A stage's address: a hash of everything that its result depends on is part of its folder's name.

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
        """The folder's name."""
        return f"{self.stage}-{self.fingerprint}"

    @property
    def folder(self) -> Path:
        """The published folder, relative to the workspace."""
        return Path(self.area, self.task, self.name)

    @property
    def work_folder(self) -> Path:
        """The folder that the stage works in before it publishes, relative to the workspace; on the same disk."""
        return Path(self.area, self.task, ".work", self.name)

    @property
    def backup_folder(self) -> Path:
        """The folder for replaced copies of the task's stages, relative to the workspace."""
        return Path(self.area, self.task, ".aside")


@dataclass(frozen=True)
class StageRecord:
    """One published stage.

    Attributes:
        task: Task name as GLUE spells it, such as "RTE".
        stage: The stage's name within its task, such as "tokens", "teacher" or "pkd-skip-3l-s1".
        fingerprint: Hash of everything that the stage depends on; part of its address.
        digest: Hash of the published bytes; a stage that used other bytes as its input is stale.
        path: Published folder, relative to the workspace, with forward slashes.
        facts: JSON values to show, such as numbers of rows, dev score, number of parameters.
    """

    task: str
    stage: str
    fingerprint: str
    digest: str
    path: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> Address:
        """The stage's address."""
        area = next(area for area in AREAS if area == self.path.split("/")[0])
        return Address(area, self.task, self.stage, self.fingerprint)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StageRecord":
        """Return the record that `to_json` was called on."""
        return cls(**value)
