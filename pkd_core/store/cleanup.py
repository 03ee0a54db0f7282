"""What no run of a workspace refers to any more: found, and on request removed."""

import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from pkd_core.store.address import AREAS
from pkd_core.store.os_errors import file_errors
from pkd_core.store.scan import published_addresses


class GarbageKind(StrEnum):
    """Why a folder is left over."""

    UNREFERENCED = "no run refers to it"
    UNFINISHED = "unfinished, and no run refers to it"
    BACKUP = "a replaced copy"


@dataclass(frozen=True)
class Garbage:
    """A folder that may go.

    Attributes:
        folder: Relative to the workspace.
        kind: Why.
        num_bytes: What removing it sets free.
        modified: When it was last changed, in seconds since 1970.
    """

    folder: Path
    kind: GarbageKind
    num_bytes: int
    modified: float


def find_garbage(workspace: Path, kept: Collection[str]) -> Iterator[Garbage]:
    """Yield what is left over, leaving out whatever a process is writing at this moment.

    Args:
        workspace: The workspace.
        kept: Published folders that something refers to, relative to the workspace, with forward slashes.
    """
    for address in published_addresses(workspace):
        if address.folder.as_posix() not in kept and not _is_locked(workspace / address.work_folder):
            yield _garbage(workspace, address.folder, GarbageKind.UNREFERENCED)
    for area in AREAS:
        for work in sorted((workspace / area).glob("*/.work/*")):
            published = Path(area, work.parent.parent.name, work.name)
            if work.is_dir() and published.as_posix() not in kept and not _is_locked(work):
                yield _garbage(workspace, work.relative_to(workspace), GarbageKind.UNFINISHED)
        for copy in sorted((workspace / area).glob("*/.aside/*")):
            yield _garbage(workspace, copy.relative_to(workspace), GarbageKind.BACKUP)


def remove(workspace: Path, garbage: Garbage) -> bool:
    """Remove a garbage whole, unless a process has begun to write it since; tell whether it went.

    What is published goes out of its place first, with one rename: a removal that is interrupted leaves no half stage.

    Raises:
        StoreError: If the disk refuses.
    """
    place = workspace / garbage.folder
    if garbage.kind is GarbageKind.BACKUP:
        _delete(place)
        return True
    task = place.parent if garbage.kind is GarbageKind.UNREFERENCED else place.parent.parent
    work, aside = task / ".work" / place.name, task / ".aside"
    with _unless_locked(work) as is_free:
        if is_free:
            with file_errors("remove", place):
                aside.mkdir(exist_ok=True)
                target = aside / f"{place.name}-removed-{time.time_ns()}"
                place.rename(target)
            _delete(target)
            work.with_name(f"{work.name}.inputs").unlink(missing_ok=True)
        return is_free


def _garbage(workspace: Path, folder: Path, kind: GarbageKind) -> Garbage:
    place = workspace / folder
    with file_errors("read", place):
        files = [Path(parent, name) for parent, _, names in os.walk(place) for name in names]
        sizes = [path.lstat().st_size for path in files]
        newest = max(path.lstat().st_mtime for path in [place, *files])
    return Garbage(folder, kind, sum(sizes), newest)


def _delete(place: Path) -> None:
    with file_errors("remove", place):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _is_locked(work: Path) -> bool:
    # Looking must not leave a lock file where there was none.
    if not _lock_file(work).exists():
        return False
    with _unless_locked(work) as is_free:
        return not is_free


@contextmanager
def _unless_locked(work: Path) -> Iterator[bool]:
    """Hold a stage's lock while the body runs, if nobody else does; yield whether it is held."""
    work.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_lock_file(work))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock_file(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")
