"""Publishing: a finished work folder becomes visible with one rename, once its bytes are on the disk."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pkd_core.store.fingerprint import hash_file
from pkd_core.store.inspection import list_files
from pkd_core.store.manifest import FileEntry, Manifest, write_manifest


def entries_of(work: Path) -> tuple[FileEntry, ...]:
    """Return an entry for every file of a work folder, nested ones too, sorted by name.

    Raises:
        StoreError: If something in it is neither a plain file nor a folder.
    """
    return tuple(FileEntry(name, size, hash_file(work / name)) for name, size in list_files(work).items())


def publish_folder(work: Path, final: Path, backup_folder: Path, manifest: Manifest) -> None:
    """Write the manifest and rename the work folder to its final place; an old copy is kept aside.

    After a crash the final place holds the old copy, nothing, or the whole new copy; never a part.

    Args:
        work: The finished work folder, on the same disk as `final`.
        final: Where it is to be found.
        backup_folder: Where a folder that stands at `final` is moved to, under its name and the UTC time.
        manifest: What the work folder holds.

    Raises:
        OSError: If the disk is full or a folder is not writable; the work folder then stays.
    """
    write_manifest(work, manifest)
    for folder, _, names in os.walk(work, topdown=False):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if os.path.lexists(final):
        backup_folder.mkdir(exist_ok=True)
        final.rename(backup_folder / f"{final.name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        _sync(backup_folder)
    work.rename(final)
    _sync(work.parent)
    _sync(final.parent)


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
