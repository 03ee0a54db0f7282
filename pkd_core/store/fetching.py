"""Local copies of what is published in a shared place: downloaded, verified, and renamed when they are complete."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkd_core.errors import DamagedError, StoreError
from pkd_core.places.objects import Objects
from pkd_core.store.address import Address
from pkd_core.store.atomic import durable_rename, fsync_tree
from pkd_core.store.fingerprint import hash_file
from pkd_core.store.inspection import list_files
from pkd_core.store.keys import StageKeys
from pkd_core.store.lock import hold
from pkd_core.store.manifest import FileEntry, Manifest, read_manifest, write_manifest
from pkd_core.store.os_errors import check_disk_space, file_errors
from pkd_core.store.work_folder import lock_file

_SUFFIX = ".fetched"


def fetch(place: Objects, workspace: Path, address: Address, manifest: Manifest) -> Path:
    """Return the folder with a copy of what a stage has published, downloading it if it is not here.

    Args:
        place: Where the stage is published.
        workspace: The workspace that is attached to the place.
        address: The stage.
        manifest: Its manifest in the place.

    Raises:
        DamagedError: A file in the place is absent, or has other bytes than were published; the message is a phrase.
        StoreError: The place cannot be reached, or the disk refuses.
    """
    final = workspace / address.folder
    if not _is_copy(final, manifest):
        with copy_lock(workspace, address):
            if not _is_copy(final, manifest):
                _replace(_download(place, workspace, address, manifest), final)
    return final


def verify_published(place: Objects, workspace: Path, address: Address, manifest: Manifest) -> None:
    """Download what a stage has published, whether there is a copy or not, and compare every byte.

    Raises:
        DamagedError: As `fetch`.
        StoreError: As `fetch`.
    """
    with copy_lock(workspace, address):
        downloaded = _download(place, workspace, address, manifest)
        final = workspace / address.folder
        # Somebody may read the copy that is here.
        if _is_copy(final, manifest):
            shutil.rmtree(downloaded)
        else:
            _replace(downloaded, final)


@contextmanager
def copy_lock(workspace: Path, address: Address) -> Iterator[None]:
    """Hold the lock of those who replace the local copy of a stage."""
    folder = _download_folder(workspace, address)
    with file_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with hold(lock_file(folder), f"fetching {address.task} {address.stage}"):
        yield


def file_sizes(place: Objects, keys: StageKeys, attempt: str) -> dict[str, int]:
    """Return the size in bytes of each file that an attempt has in the place, by its name."""
    prefix = keys.files(attempt)
    return {found.key.removeprefix(prefix): found.size for found in place.list(prefix)}


def download_file(place: Objects, key: str, path: Path, entry: FileEntry) -> None:
    """Download an object to a file of an existing or new folder, and compare it with what was sent.

    Raises:
        DamagedError: It is absent, or has other bytes; the message is a phrase.
        StoreError: The place cannot be reached.
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.download(key, path)
    except StoreError as error:
        if not any(found.key == key for found in place.list(f"{key.rpartition('/')[0]}/")):
            raise DamagedError(f"{entry.name} is absent") from error
        raise
    size = path.stat().st_size
    if size != entry.size:
        raise DamagedError(f"{entry.name} has {size} bytes where {entry.size} were published")
    if hash_file(path) != entry.xxh3:
        raise DamagedError(f"{entry.name} has other bytes than were published")


def _download(place: Objects, workspace: Path, address: Address, manifest: Manifest) -> Path:
    """Download a published stage into a folder of its own; what an interrupted download has finished is kept."""
    folder, prefix = _download_folder(workspace, address), StageKeys(address).files(manifest.attempt)
    with file_errors("write", folder):
        folder.mkdir(exist_ok=True)
        wanted = {entry.name: entry for entry in manifest.files}
        for name in list_files(folder):
            if name not in wanted or hash_file(folder / name) != wanted[name].xxh3:
                (folder / name).unlink()
        missing = [entry for entry in manifest.files if not (folder / entry.name).is_file()]
        check_disk_space(
            folder, sum(entry.size for entry in missing), f"a copy of {address.task} {address.stage}"
        )
        for entry in missing:
            download_file(place, prefix + entry.name, folder / entry.name, entry)
        write_manifest(folder, manifest)
        fsync_tree(folder)
    return folder


def _replace(downloaded: Path, final: Path) -> None:
    """Rename a complete download to its final path; an older copy there is deleted."""
    old = downloaded.with_name(f"{downloaded.name}.old")
    with file_errors("write", final):
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            durable_rename(final, old)
        durable_rename(downloaded, final)
    shutil.rmtree(old, ignore_errors=True)


def _is_copy(folder: Path, manifest: Manifest) -> bool:
    """Return whether a folder is a copy of what a manifest describes, by names and sizes."""
    try:
        return read_manifest(folder) == manifest and list_files(folder) == {
            entry.name: entry.size for entry in manifest.files
        }
    except StoreError:
        return False


def _download_folder(workspace: Path, address: Address) -> Path:
    work = workspace / address.work_folder
    return work.with_name(f"{work.name}{_SUFFIX}")
