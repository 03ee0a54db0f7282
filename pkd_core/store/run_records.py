"""What the runs of a workspace refer to: one note for each different run, locked while the run goes on.

A note is `artifacts/runs/<hash of what was asked for>.json`. The same run asked for again replaces its note, so that
what only an older state of data or code led to is referred to no more.
"""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pkd_core.errors import StoreError
from pkd_core.store.fingerprint import fingerprint
from pkd_core.store.os_errors import file_errors

_FOLDER = Path("artifacts", "runs")


@dataclass(frozen=True)
class RunRecord:
    """A run as it was last asked for.

    Attributes:
        path: The note itself.
        begun: UTC time in ISO 8601.
        folders: The published folder of every stage of its plan, relative to the workspace.
        is_running: Whether a living process is at it.
    """

    path: Path
    begun: str
    folders: frozenset[str]
    is_running: bool


@contextmanager
def recorded_run(workspace: Path, asked_for: Mapping[str, Any], folders: Collection[Path]) -> Iterator[None]:
    """Note what a run refers to, and that it goes on for as long as the body does.

    Args:
        workspace: The workspace.
        asked_for: What tells the run from others, as JSON values.
        folders: The published folder of every stage of its plan, relative to the workspace.

    Raises:
        StoreError: If the note cannot be written.
    """
    name = fingerprint("run", 1, asked_for, {})
    note = workspace / _FOLDER / f"{name}.json"
    this = uuid.uuid4().hex
    running = FileLock(note.with_name(f"{name}.{this}.running"))
    told = {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "asked_for": dict(asked_for),
        "folders": sorted(folder.as_posix() for folder in folders),
    }
    with file_errors("write", note):
        note.parent.mkdir(parents=True, exist_ok=True)
        running.acquire()
        beside = note.with_name(f"{name}.{this}.part")
        beside.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        beside.replace(note)
    try:
        yield
    finally:
        running.release()
        with suppress(OSError):
            Path(running.lock_file).unlink(missing_ok=True)


def read_run_records(workspace: Path) -> list[RunRecord]:
    """Return all notes, the newest run first.

    Raises:
        StoreError: If one cannot be read: nothing may be taken for unreferenced then.
    """
    notes: list[RunRecord] = []
    for path in (workspace / _FOLDER).glob("*.json"):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            begun, folders = str(told["begun"]), frozenset(map(str, told["folders"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: expected a note of a run, got one that cannot be read; delete it, and run that again."
            ) from error
        notes.append(
            RunRecord(path, begun, folders, any(map(_is_held, path.parent.glob(f"{path.stem}.*.running"))))
        )
    return sorted(notes, key=lambda note: note.begun, reverse=True)


def _is_held(lock_file: Path) -> bool:
    """Tell whether a living process holds a lock; the file that a dead one left is removed."""
    lock = FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    lock_file.unlink(missing_ok=True)
    return False
