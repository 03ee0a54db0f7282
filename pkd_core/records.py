"""What travels between stages: small frozen facts about published files, never the files' contents."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


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
