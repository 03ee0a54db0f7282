"""Verifies what a stage reads: every byte before it is read, and that nothing changes until the stage is done."""

import logging
from collections.abc import Iterable
from pathlib import Path

from pkd_core.errors import DamagedError
from pkd_core.store.fingerprint import hash_file
from pkd_core.store.manifest import MANIFEST_NAME, Manifest

logger = logging.getLogger(__name__)

# A check of more bytes than this takes seconds, which the log explains.
_MANY_BYTES = 4_000_000_000
_Identity = tuple[int, int, int, int, int] | None


class WatchedFiles:
    """Files that must stay as they are while somebody reads them.

    A file's identity is its inode, size and times. The time of its last change of status cannot be set back, so a file
    that was changed and put back is noticed, too.

    Args:
        paths: The files; one that does not exist must stay absent.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._identities = {path: _identity(path) for path in paths}

    def find_changed(self) -> Path | None:
        """Return a file that has changed since, or None if there is none."""
        return next((path for path, before in self._identities.items() if _identity(path) != before), None)


def published_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the paths of a published folder's files, its manifest among them."""
    return [folder / name for name in (MANIFEST_NAME, *(entry.name for entry in manifest.files))]


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Hash every file of a published folder, and compare it with the manifest.

    Raises:
        DamagedError: A file is absent, cannot be read, or has other bytes; the message is a phrase.
    """
    num_bytes = sum(entry.size for entry in manifest.files)
    if num_bytes > _MANY_BYTES:
        logger.info("verifying the %.0f GB of %s", num_bytes / 1e9, folder)
    for entry in manifest.files:
        try:
            xxh3 = hash_file(folder / entry.name)
        except OSError as error:
            raise DamagedError(f"{entry.name} cannot be read ({error.strerror})") from error
        if xxh3 != entry.xxh3:
            raise DamagedError(f"{entry.name} has other bytes than were published")


def _identity(path: Path) -> _Identity:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
