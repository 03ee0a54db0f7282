"""Publishing: a finished work folder becomes visible with one rename, after its bytes are on the disk."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pkd_core.store.atomic import durable_rename, fsync_tree
from pkd_core.store.fingerprint import hash_file
from pkd_core.store.inspection import list_files
from pkd_core.store.manifest import MANIFEST_NAME, FileEntry, Manifest, write_manifest


def hash_files(work: Path) -> tuple[FileEntry, ...]:
    """Return an entry for every file of a work folder, nested ones too, sorted by name.

    Raises:
        StoreError: If something in it is neither a plain file nor a folder.
    """
    return tuple(FileEntry(name, size, hash_file(work / name)) for name, size in list_files(work).items())


def publish_folder(work: Path, final: Path, backup_folder: Path, manifest: Manifest) -> None:
    """Write the manifest and rename the work folder to its final path; an old copy becomes a backup.

    After a crash the final path holds the old copy, nothing, or the complete new copy.

    Args:
        work: The finished work folder, on the same disk as `final`.
        final: The published folder.
        backup_folder: Receives what is at `final`, under its name and the UTC time.
        manifest: What the work folder holds.

    Raises:
        OSError: If the disk is full or a folder is not writable; the work folder then stays.
    """
    write_manifest(work, manifest)
    _unify_modes(work, manifest)
    fsync_tree(work)
    if os.path.lexists(final):
        move_to_backup(final, backup_folder)
    durable_rename(work, final)


def _unify_modes(work: Path, manifest: Manifest) -> None:
    """Give every file the mode that the user's umask gives to a new one; some libraries create files for one user."""
    mode = (work / MANIFEST_NAME).stat().st_mode
    for entry in manifest.files:
        (work / entry.name).chmod(mode)


def move_to_backup(final: Path, backup_folder: Path) -> Path:
    """Move what is at a published path to the backup folder, and return its new path: its name and the UTC time.

    Raises:
        OSError: If the disk refuses.
    """
    backup_folder.mkdir(exist_ok=True)
    backup = backup_folder / f"{final.name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    durable_rename(final, backup)
    return backup
