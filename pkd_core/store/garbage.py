"""What may be deleted of a workspace, and why."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class GarbageKind(StrEnum):
    """Why a folder may be deleted."""

    UNREFERENCED = "no run refers to it"
    UNFINISHED = "unfinished, and no run refers to it"
    BACKUP = "a replaced copy"


@dataclass(frozen=True)
class Garbage:
    """A folder that may be deleted.

    Attributes:
        folder: Relative to the workspace.
        kind: Why.
        num_bytes: Size of its files.
        modified: Time of its last change, in seconds since 1970.
        is_shared: Whether it is in the place that several machines share, not on this machine.
    """

    folder: Path
    kind: GarbageKind
    num_bytes: int
    modified: float
    is_shared: bool = False
