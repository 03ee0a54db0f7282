"""Writes down when leases, checkpoints and manifests appear in a place: `python -m cluster.watch URL FILE`."""

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.places.objects import Object, Objects
from pkd_core.places.opening import open_place

_KEY = re.compile(
    r"(?P<stage>[^/]+/[^/]+/[^/]+)/"
    r"(?:(?P<lease>leases)/\d+|attempts/[0-9a-f]+/(?P<checkpoint>resume)\.json|(?P<manifest>manifest)\.json)"
)
_PAUSE = 0.5  # seconds


@dataclass(frozen=True)
class Event:
    """What was seen in a place.

    Attributes:
        seconds: When, by this machine's monotonic clock, which is the same for all hosts of these tests.
        what: "lease" for a new one, "checkpoint" for a new or newer one, "manifest".
        stage: The stage's folder.
        key: The object.
        host: Name of the lease's host; empty for others.
    """

    seconds: float
    what: str
    stage: str
    key: str
    host: str


def read_events(path: Path) -> list[Event]:
    """Return what was written down so far, the oldest first."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [Event(**json.loads(line)) for line in lines if line.endswith("\n")]


def _watch(place: Objects, path: Path) -> None:
    known: dict[str, tuple[float, int]] = {}
    with path.open("a", encoding="utf-8") as file:
        while True:
            try:
                found = list(place.list(""))
            except StoreError:  # the server is busy
                found = []
            for one in found:
                if event := _event(place, one, known):
                    file.write(json.dumps(asdict(event)) + "\n")
                    file.flush()
            time.sleep(_PAUSE)


def _event(place: Objects, found: Object, known: dict[str, tuple[float, int]]) -> Event | None:
    matched = _KEY.fullmatch(found.key)
    state = (found.modified, found.size)
    before = known.get(found.key)
    if matched is None or before == state:
        return None
    known[found.key] = state
    what = "lease" if matched["lease"] else "checkpoint" if matched["checkpoint"] else "manifest"
    if before is not None and what == "lease":
        return None  # renewed by its holder
    host = ""
    if what == "lease":
        content = place.read(found.key)
        host = json.loads(content[0])["host"] if content else ""
    return Event(time.monotonic(), what, matched["stage"], found.key, host)


if __name__ == "__main__":
    _watch(open_place(sys.argv[1]), Path(sys.argv[2]))
