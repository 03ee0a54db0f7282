"""Run records in a place that several machines share: what every machine's runs refer to, and which go on now."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkd_core.places.lease import TERM, leased
from pkd_core.places.objects import Objects
from pkd_core.store.atomic import atomic_write_text

_PREFIX = "artifacts/runs/"
# Beside the records, so that each holds a lease of its own.
_RUNNING = "artifacts/running/"
_CLOCK = "place/clock/"
# Seconds after which whoever has given no sign of life is dead, whatever the length of the network's silences.
SECONDS_ALIVE = 3 * TERM


def send_record(place: Objects, path: Path, text: str) -> None:
    """Write a run's record, or the file that repeats it, beside those of other machines."""
    place.put(f"{_PREFIX}{path.name}", text.encode("utf-8"))


def delete_record(place: Objects, path: Path) -> None:
    """Delete a run's record, or the file that repeats it."""
    place.delete(f"{_PREFIX}{path.name}")


def mirror_records(place: Objects, folder: Path) -> None:
    """Make the records in a local folder those of the place.

    Raises:
        StoreError: The place cannot be reached.
        OSError: The disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {found.key.removeprefix(_PREFIX) for found in place.list(_PREFIX)}
    wanted = {name for name in names if name.endswith((".json", ".toml")) and "/" not in name}
    for path in [*folder.glob("*.json"), *folder.glob("*.toml")]:
        if path.name not in wanted:
            path.unlink(missing_ok=True)
    for name in sorted(wanted):
        content = place.read(f"{_PREFIX}{name}")
        if content is not None:
            text = content[0].decode("utf-8", errors="replace")
            atomic_write_text(folder / name, text, has_concurrent_writers=True)


@contextmanager
def marked_as_running(place: Objects, name: str) -> Iterator[None]:
    """Show other machines that a run goes on while the body runs."""
    prefix = f"{_RUNNING}{name}/{uuid.uuid4().hex}/"
    with leased(place, prefix, f"run {name}"):
        yield
    for found in list(place.list(prefix)):
        place.delete(found.key)


def running_names(place: Objects) -> set[str]:
    """Return the names of the records whose runs go on now on any machine, and delete the marks of dead ones."""
    marks = list(place.list(_RUNNING))
    if not marks:
        return set()
    now, names = place_time(place), set()
    for mark in marks:
        if now - mark.modified <= SECONDS_ALIVE:
            names.add(mark.key.removeprefix(_RUNNING).partition("/")[0])
        else:
            place.delete(mark.key)
    return names


def place_time(place: Objects) -> float:
    """Return the time by a place's own clock, in seconds since 1970: its objects' times can be compared with it."""
    key = f"{_CLOCK}{uuid.uuid4().hex}"
    place.put(key, b"")
    try:
        return max(found.modified for found in place.list(_CLOCK))
    finally:
        place.delete(key)
