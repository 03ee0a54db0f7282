"""The copies that a machine keeps of what a shared place holds: those that were used longest ago make room for others.

Never removed are copies that a living process uses, whatever is not published, and what the place does not have.
"""

import atexit
import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import ConfigError, StoreError
from pkd_core.places.objects import Objects
from pkd_core.store.address import Address
from pkd_core.store.atomic import atomic_write_text, durable_rename
from pkd_core.store.attached import place_of
from pkd_core.store.catalog import address_of, local_addresses, local_copy
from pkd_core.store.lock import hold, is_locked
from pkd_core.store.manifest import Manifest, read_manifest
from pkd_core.store.os_errors import file_errors
from pkd_core.store.published import find_manifest

logger = logging.getLogger(__name__)

_FOLDER = "in-use"
_thread_lock = threading.Lock()
_held = ExitStack()
atexit.register(_held.close)


@dataclass(frozen=True)
class _Copy:
    """A local copy of a published stage, its size in bytes, and when it was last used, in seconds since 1970."""

    address: Address
    manifest: Manifest
    size: int
    used: float


@contextmanager
def in_use(workspace: Path, addresses: Sequence[Address]) -> Iterator[None]:
    """Keep the local copies of some stages from being removed while the body runs; without a shared place do nothing.

    Raises:
        StoreError: The disk refuses.
    """
    if place_of(workspace) is None:
        yield
        return
    folder = workspace / _FOLDER
    lock_file = folder / f"{uuid.uuid4().hex}.lock"
    record = lock_file.with_suffix(".json")
    names = [address.folder.as_posix() for address in addresses]
    with file_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold(lock_file, "using copies"):
            with file_errors("write", record), _changing(workspace):
                atomic_write_text(record, json.dumps(names) + "\n")
            for name in names:
                with suppress(OSError):
                    os.utime(workspace / name)
            yield
    finally:
        for path in (record, lock_file):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def held_copy(folder: Path) -> Path:
    """Return a published folder with its files on this machine, which keeps them until this process ends.

    Raises:
        StoreError: It is gone or damaged, the place cannot be reached, or the disk refuses.
    """
    if address := address_of(folder):
        _held.enter_context(in_use(folder.parents[2], [address]))
    return local_copy(folder)


def make_room(workspace: Path, num_bytes: int, bound: float) -> None:
    """Remove local copies until some more bytes fit below a bound, or nothing is left that may be removed.

    Args:
        workspace: The workspace; nothing happens if it is of this machine alone.
        num_bytes: How many bytes are to be fetched.
        bound: How many bytes of copies the machine keeps.

    Raises:
        StoreError: The place cannot be reached, or the disk refuses.
    """
    place = place_of(workspace)
    if place is None:
        return
    removed = []
    with file_errors("remove", workspace), _changing(workspace):
        copies = sorted(_copies(workspace), key=lambda copy: copy.used)
        excess = sum(copy.size for copy in copies) + num_bytes - bound
        kept = _used(workspace) if excess > 0 else set[str]()
        for copy in copies:
            if excess <= 0:
                break
            folder = workspace / copy.address.folder
            if copy.address.folder.as_posix() not in kept and _is_in(place, copy):
                # Named as garbage at once, for a reader must find a whole copy or none.
                removed.append(workspace / _FOLDER / f"{uuid.uuid4().hex}.removed")
                durable_rename(folder, removed[-1])
                logger.info("removed the local copy of %s, which %s has", copy.address.folder, place.url)
                excess -= copy.size
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)


def check_bound(stage: str, num_bytes: int, bound: float) -> None:
    """Check that what one stage reads fits into the local copies.

    Raises:
        ConfigError: It does not.
    """
    if num_bytes > bound:
        raise ConfigError(
            f"{stage} reads {num_bytes / 1e9:.3g} GB, and --cache-gb allows {bound / 1e9:.3g} GB of local copies; give "
            f"at least --cache-gb {num_bytes / 1e9 * 1.01:.3g}."
        )


@contextmanager
def _changing(workspace: Path) -> Iterator[None]:
    """Hold the lock of those who change what is used, or what is there."""
    folder = workspace / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # Threads of one process wait without a word in the log.
    with _thread_lock, hold(folder / "changing.lock", "looking at the local copies"):
        yield


def _copies(workspace: Path) -> Iterator[_Copy]:
    for address in local_addresses(workspace):
        folder = workspace / address.folder
        with suppress(StoreError, OSError):
            manifest = read_manifest(folder)
            yield _Copy(address, manifest, num_bytes_of(manifest), folder.stat().st_mtime)


def num_bytes_of(manifest: Manifest) -> int:
    """Return the size of a published stage's files in bytes."""
    return sum(entry.size for entry in manifest.files)


def _used(workspace: Path) -> Collection[str]:
    """Return the folders that living processes use, and forget those of dead ones."""
    used: set[str] = set()
    for record in (workspace / _FOLDER).glob("*.json"):
        if is_locked(record.with_suffix(".lock")):
            used.update(json.loads(record.read_text(encoding="utf-8")))
        else:
            record.unlink(missing_ok=True)
            record.with_suffix(".lock").unlink(missing_ok=True)
    return used


def _is_in(place: Objects, copy: _Copy) -> bool:
    """Return whether the place has the same bytes."""
    try:
        manifest = find_manifest(place, copy.address)
    except StoreError:
        return False
    return manifest is not None and manifest.digest == copy.manifest.digest
