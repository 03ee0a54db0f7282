"""How long a workspace's stages took: one line of JSON for each, from which plans are estimated; harmless when lost."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = Path("artifacts", "durations.jsonl")


@dataclass(frozen=True)
class Duration:
    """How long a stage took, and what that depends on.

    Attributes:
        kind: The kind of stage.
        machine: Model of the processor or the GPU that computed it.
        threads: CPU threads that it computed with; None for a stage that computes nothing.
        hidden_size: Hidden size of the model.
        amount: Amount of work, in a unit of the kind of stage.
        seconds: Seconds from start to publication.
    """

    kind: str
    machine: str
    threads: int | None
    hidden_size: int
    amount: float
    seconds: float


def append_duration(workspace: Path, duration: Duration) -> None:
    """Record how long a stage took; nothing happens if the disk refuses."""
    line = (json.dumps(asdict(duration)) + "\n").encode("utf-8")
    with suppress(OSError), (workspace / _FILE).open("ab", buffering=0) as file:
        file.write(line)


def read_durations(workspace: Path) -> list[Duration]:
    """Return what is recorded, the oldest first, without the lines that cannot be read."""
    try:
        lines = (workspace / _FILE).read_bytes().splitlines()
    except OSError:
        return []
    return list(_parsed(lines))


def _parsed(lines: list[bytes]) -> Iterator[Duration]:
    for line in lines:
        with suppress(ValueError, TypeError, RecursionError):
            duration = Duration(**json.loads(line))
            if duration.amount > 0 and duration.seconds >= 0:
                yield duration
