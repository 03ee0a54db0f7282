"""Copies of what an interrupted stage continues from: in a shared place, where another machine finds it."""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pkd_core.errors import DamagedError, StoreError
from pkd_core.places.objects import Object, Objects
from pkd_core.store.address import Address
from pkd_core.store.atomic import durable_rename, fsync_tree
from pkd_core.store.attempt import ATTEMPT_RECORD, Attempt
from pkd_core.store.fetching import download_file
from pkd_core.store.fingerprint import hash_file
from pkd_core.store.finished_files import read_finished
from pkd_core.store.inspection import list_files
from pkd_core.store.keys import StageKeys
from pkd_core.store.lock import hold
from pkd_core.store.manifest import FileEntry
from pkd_core.store.os_errors import check_disk_space
from pkd_core.store.work_folder import (
    INPUTS,
    discard_work,
    lock_file,
    read_inputs,
    resume_folder,
    write_inputs,
)

logger = logging.getLogger(__name__)

_WORK, _RESUME = "work", "resume"


@dataclass(frozen=True)
class _Saved:
    """A file of a checkpoint: its path below "work" or "resume", its size and hash, and the key of its object."""

    entry: FileEntry
    key: str


def send_checkpoint(place: Objects, address: Address, work: Path) -> None:
    """Send the resume folder and the finished files of the work folder, as far as they are new.

    The small object that names them is written last. The files of the checkpoint before stay, for another machine may
    be reading them.

    Raises:
        StoreError: The place cannot be reached.
        OSError: The disk refuses.
    """
    resume = resume_folder(work)
    keys, attempt = StageKeys(address), Attempt.open(place, resume)
    saved = list(_send_files(attempt, keys, work))
    if not saved:
        return
    pointer = keys.pointer(attempt.id)
    before = place.read(pointer)
    value = {
        "inputs": read_inputs(work),
        "files": [asdict(one.entry) | {"key": one.key} for one in saved],
    }
    place.put(pointer, json.dumps(value).encode("utf-8"))
    needed = {one.key for one in (*saved, *(_parse(before[0], keys)[1] if before else ()))}
    prefix = keys.checkpoint(attempt.id)
    attempt.delete([key for key in attempt.sent if key.startswith(prefix) and key not in needed])


def restore_checkpoint(place: Objects, address: Address, work: Path) -> None:
    """Replace work and resume folder by the newest whole checkpoint of any attempt with the same inputs.

    Nothing happens if the local folders began with it, or are those of the attempt that has sent it.

    Args:
        place: The place.
        address: The stage.
        work: The work folder; its resume folder holds the inputs.

    Raises:
        StoreError: The place cannot be reached.
        OSError: The disk refuses.
    """
    keys, own = StageKeys(address), Attempt.open(place, resume_folder(work))
    pointers = [found for found in place.list(keys.attempts) if found.key.endswith("/resume.json")]
    own_pointer = keys.pointer(own.id)
    # S3's times are whole seconds. In the same second, another machine's comes first: it began with this machine's.
    pointers.sort(key=lambda found: (found.modified, found.key != own_pointer), reverse=True)
    for pointer in pointers:
        if pointer.key == own_pointer:
            return
        if pointer.modified <= own.restored:
            continue
        try:
            if _restore(place, keys, pointer, work):
                logger.info("%s %s: goes on from a checkpoint in %s", address.task, address.stage, place.url)
                return
        except DamagedError as error:
            logger.warning("%s: this checkpoint cannot be used (%s)", pointer.key, error)


def _send_files(attempt: Attempt, keys: StageKeys, work: Path) -> Iterator[_Saved]:
    finished = read_finished(attempt.resume)
    for name, size in list_files(attempt.resume).items():
        # Neither what is local to this machine, nor what is being written or replaced.
        if name in (INPUTS, ATTEMPT_RECORD) or Path(name).parts[0].endswith((".part", ".before")):
            continue
        xxh3 = hash_file(attempt.resume / name)
        key = f"{keys.checkpoint(attempt.id)}{xxh3}-{size}"
        attempt.send(attempt.resume / name, key, xxh3)
        yield _Saved(FileEntry(f"{_RESUME}/{name}", size, xxh3), key)
    for name, xxh3 in finished.items():
        # It will be published as it is: it is sent once.
        key = f"{keys.files(attempt.id)}{name}"
        attempt.send(work / name, key, xxh3)
        yield _Saved(FileEntry(f"{_WORK}/{name}", (work / name).stat().st_size, xxh3), key)


def _restore(place: Objects, keys: StageKeys, pointer: Object, work: Path) -> bool:
    """Download a checkpoint and put it in place of the local folders; return whether it has the same inputs."""
    content = place.read(pointer.key)
    if content is None:
        return False
    inputs, saved = _parse(content[0], keys)
    if inputs != read_inputs(work):
        return False
    restored = work.with_name(f"{work.name}.restored")
    # A lock of its own keeps `pkd clean` away.
    with hold(lock_file(restored), f"restoring {work.name}"):
        shutil.rmtree(restored, ignore_errors=True)
        for name in (_WORK, _RESUME):
            (restored / name).mkdir(parents=True)
        check_disk_space(restored, sum(one.entry.size for one in saved), "a checkpoint")
        for one in saved:
            download_file(place, one.key, restored / one.entry.name, one.entry)
        Attempt.new(place, restored / _RESUME, pointer.modified).write()
        write_inputs(restored / _RESUME, inputs)
        fsync_tree(restored)
        discard_work(work)
        durable_rename(restored / _WORK, work)
        # With the inputs in it: only with them would anybody continue.
        durable_rename(restored / _RESUME, resume_folder(work))
        restored.rmdir()
    return True


def _parse(content: bytes, keys: StageKeys) -> tuple[dict[str, str], list[_Saved]]:
    """Return the inputs and the files of a checkpoint.

    Raises:
        DamagedError: It is not what `send_checkpoint` writes.
    """
    try:
        value: Any = json.loads(content)
        inputs = {str(name): str(digest) for name, digest in value["inputs"].items()}
        return inputs, [_saved(one, keys) for one in value["files"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreError) as error:
        raise DamagedError("its list of files cannot be read") from error


def _saved(value: Mapping[str, Any], keys: StageKeys) -> _Saved:
    entry, key = FileEntry(str(value["name"]), int(value["size"]), str(value["xxh3"])), str(value["key"])
    if not key.startswith(keys.attempts) or entry.name.split("/")[0] not in (_WORK, _RESUME):
        raise ValueError(key)
    return _Saved(entry, key)
