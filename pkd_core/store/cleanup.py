"""Garbage in a workspace, which no run refers to any more: how to find it and how to delete it."""

import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from pkd_core.errors import HeldError
from pkd_core.store.address import AREAS
from pkd_core.store.atomic import durable_rename
from pkd_core.store.attached import place_of
from pkd_core.store.catalog import Catalog, address_of, local_addresses
from pkd_core.store.garbage import Garbage, GarbageKind
from pkd_core.store.lock import hold, is_locked
from pkd_core.store.os_errors import file_errors
from pkd_core.store.shared_cleanup import find_shared_garbage, remove_shared
from pkd_core.store.work_folder import RESUME_SUFFIX, lock_file, resume_folder, tidy_work


def find_garbage(workspace: Path, kept: Collection[str]) -> Iterator[Garbage]:
    """Yield the workspace's garbage, without the folders that a process is writing now.

    Args:
        workspace: The workspace.
        kept: Published folders that something refers to, relative to the workspace, with forward slashes.

    Raises:
        StoreError: If a folder or a lock cannot be read, or the place that machines share cannot be reached.
    """
    place = place_of(workspace)
    # Copies of what the place has are no garbage: they are evicted when the disk needs space.
    shared = set() if place is None else set(Catalog(workspace).addresses())
    if place is not None:
        yield from find_shared_garbage(place, kept)
    for address in local_addresses(workspace):
        is_referenced = address in shared or address.folder.as_posix() in kept
        if not is_referenced and not is_locked(lock_file(workspace / address.work_folder)):
            yield _garbage(workspace, address.folder, GarbageKind.UNREFERENCED)
    for area in AREAS:
        folders = [path for path in (workspace / area).glob("*/.work/*") if path.is_dir()]
        for work in sorted({path.with_name(path.name.removesuffix(RESUME_SUFFIX)) for path in folders}):
            if _is_abandoned(work, workspace, kept):
                yield _garbage(workspace, work.relative_to(workspace), GarbageKind.UNFINISHED)
        for backup in sorted((workspace / area).glob("*/.aside/*")):
            yield _garbage(workspace, backup.relative_to(workspace), GarbageKind.BACKUP)


def remove(workspace: Path, garbage: Garbage) -> bool:
    """Delete a garbage folder unless a process writes it by now; return whether it was deleted.

    A stage is first moved to the backups with one rename: an interrupted removal never leaves a part of a stage. In a
    place that machines share, its manifest goes first.

    Raises:
        StoreError: If the disk refuses, or the place cannot be reached.
    """
    if garbage.is_shared:
        return _remove_shared(workspace, garbage)
    folder = workspace / garbage.folder
    if garbage.kind is GarbageKind.BACKUP:
        _delete(folder)
        return True
    task_folder = folder.parent if garbage.kind is GarbageKind.UNREFERENCED else folder.parent.parent
    work, backup_folder = task_folder / ".work" / folder.name, task_folder / ".aside"
    with file_errors("remove", folder):
        work.parent.mkdir(parents=True, exist_ok=True)
    try:
        with hold(lock_file(work), f"removing {garbage.folder}", wait=False):
            for path in _present(folder, garbage.kind):
                backup = backup_folder / f"{path.name}-removed-{time.time_ns()}"
                with file_errors("remove", path):
                    backup_folder.mkdir(exist_ok=True)
                    durable_rename(path, backup)
                _delete(backup)
            tidy_work(work)
    except HeldError:
        return False
    return True


def _remove_shared(workspace: Path, garbage: Garbage) -> bool:
    place, address = place_of(workspace), address_of(Path(*garbage.folder.parts[:3]))
    assert place is not None and address is not None, garbage
    if not remove_shared(place, address, f"{garbage.folder.as_posix()}/"):
        return False
    copy = workspace / address.folder
    if garbage.folder == address.folder and copy.is_dir():
        remove(workspace, _garbage(workspace, address.folder, GarbageKind.UNREFERENCED))
    return True


def _is_abandoned(work: Path, workspace: Path, kept: Collection[str]) -> bool:
    """Return whether nobody works in a work folder and its resume folder, and no run would continue from them."""
    published = work.parent.parent.relative_to(workspace) / work.name
    # A process that was killed just after publishing leaves the resume folder.
    is_finished = not work.exists() and (workspace / published).is_dir()
    return (is_finished or published.as_posix() not in kept) and not is_locked(lock_file(work))


def _garbage(workspace: Path, folder: Path, kind: GarbageKind) -> Garbage:
    folders = _present(workspace / folder, kind)
    with file_errors("read", workspace / folder):
        files = [
            Path(parent, name) for path in folders for parent, _, names in os.walk(path) for name in names
        ]
        sizes = [file.lstat().st_size for file in files]
        modified = max(file.lstat().st_mtime for file in [*folders, *files])
    return Garbage(folder, kind, sum(sizes), modified)


def _present(folder: Path, kind: GarbageKind) -> list[Path]:
    """Return a garbage folder and, of an unfinished stage, its resume folder, as far as they exist."""
    folders = [folder, resume_folder(folder)] if kind is GarbageKind.UNFINISHED else [folder]
    return [path for path in folders if os.path.lexists(path)]


def _delete(path: Path) -> None:
    with file_errors("remove", path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
