"""Run records: which published folders each run of a workspace uses, so that `pkd clean` keeps them.

A record is `artifacts/runs/<hash of the request>.json`. Repeating a request replaces its record: what only the earlier
data or code led to is then no longer referenced. Where several machines share the workspace, each has a copy of the
records of all of them.
"""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pkd_core.errors import HeldError, StoreError
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.attached import place_of
from pkd_core.store.fingerprint import fingerprint
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors
from pkd_core.store.shared_runs import (
    delete_record,
    marked_as_running,
    mirror_records,
    running_names,
    send_record,
)

_FOLDER = Path("artifacts", "runs")


@dataclass(frozen=True)
class RunRecord:
    """The newest run of one request.

    Attributes:
        path: The record's file.
        started: UTC time in ISO 8601.
        request: What was asked for, as JSON values.
        folders: The published folder of every stage of its plan, relative to the workspace.
        is_running: Whether a living process executes it now.
    """

    path: Path
    started: str
    request: Mapping[str, Any]
    folders: frozenset[str]
    is_running: bool


@contextmanager
def record_run(workspace: Path, request: Mapping[str, Any], folders: Collection[Path]) -> Iterator[Path]:
    """Write a run's record, mark the run as running while the body runs, and yield the record's path.

    Args:
        workspace: The workspace.
        request: What distinguishes the run from others, as JSON values.
        folders: The published folder of every stage of its plan, relative to the workspace.

    Raises:
        StoreError: If the record cannot be written.
    """
    name = fingerprint("run", 1, request, {})
    path = workspace / _FOLDER / f"{name}.json"
    # Runs of the same request may go on at once: each holds a lock of its own.
    lock_file = path.with_name(f"{name}.{uuid.uuid4().hex}.running")
    record = {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "asked_for": dict(request),
        "folders": sorted(folder.as_posix() for folder in folders),
    }
    text = json.dumps(record, indent=2) + "\n"
    place = place_of(workspace)
    with file_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    elsewhere = nullcontext() if place is None else marked_as_running(place, name)
    with hold(lock_file, f"run {name}"), elsewhere:
        try:
            with file_errors("write", path):
                atomic_write_text(path, text, has_concurrent_writers=True)
            if place is not None:
                send_record(place, path, text)
            yield path
        finally:
            with suppress(OSError):
                lock_file.unlink(missing_ok=True)


def read_run_records(workspace: Path) -> list[RunRecord]:
    """Return all run records, the newest first.

    Raises:
        StoreError: If one cannot be read: its folders are unknown, so nothing may be taken for unreferenced.
    """
    records: list[RunRecord] = []
    place, running = place_of(workspace), set[str]()
    if place is not None:
        with file_errors("write", workspace / _FOLDER):
            mirror_records(place, workspace / _FOLDER)
        running = running_names(place)
    for path in (workspace / _FOLDER).glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            started, folders = str(record["begun"]), frozenset(map(str, record["folders"]))
            request = dict(record.get("asked_for", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path}: expected a run record, got a file that cannot be read as one; delete it, and start that run"
                " again."
            ) from error
        # All of them, not the first: looking at a lock removes it if its holder died.
        is_running = [_is_held(lock_file) for lock_file in path.parent.glob(f"{path.stem}.*.running")]
        records.append(RunRecord(path, started, request, folders, any(is_running) or path.stem in running))
    return sorted(records, key=lambda record: record.started, reverse=True)


def write_beside(path: Path, text: str) -> None:
    """Write a file beside a run's record, such as the one that repeats the run.

    Raises:
        StoreError: If it cannot be written.
    """
    with file_errors("write", path):
        atomic_write_text(path, text, has_concurrent_writers=True)
    if place := place_of(path.resolve().parents[2]):
        send_record(place, path, text)


def remove_record(record: Path) -> None:
    """Delete a run's record and everything beside it, first the record.

    Raises:
        StoreError: The place cannot be reached.
        OSError: The disk refuses.
    """
    place = place_of(record.resolve().parents[2])
    for path in [record, record.with_suffix(".toml"), *record.parent.glob(f"{record.stem}.optuna.*")]:
        if place is not None:
            delete_record(place, path)
        path.unlink(missing_ok=True)


def _is_held(lock_file: Path) -> bool:
    """Return whether a living process holds a run's lock; a dead one's lock file is removed."""
    try:
        with hold(lock_file, "reading run records", wait=False):
            lock_file.unlink(missing_ok=True)
    except HeldError:
        return True
    return False
