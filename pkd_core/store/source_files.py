"""Folders of the user in a shared place, by their content, so that every machine reads the bytes that were planned.

`sources/<hash>/files/<name>` are the files, and `sources/<hash>/manifest.json`, put last, names them. On a machine,
`sources/<hash>` of the attached workspace is a copy, or on the machine that sent it a link to the folder itself. A
small object elsewhere may give a source a name.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.places.at_once import at_once
from pkd_core.places.objects import Objects
from pkd_core.store.atomic import atomic_folder
from pkd_core.store.fingerprint import sha256_folder
from pkd_core.store.lock import hold
from pkd_core.store.manifest import MANIFEST_NAME, FileEntry
from pkd_core.store.os_errors import file_errors
from pkd_core.store.verification import WatchedFiles

logger = logging.getLogger(__name__)

_FOLDER = "sources"
# A large file goes in four parts at once by itself; more would not share a slow line within a request's time.
_SMALL_BYTES = 1 << 20


def source_folder(workspace: Path, digest: str) -> Path:
    """Return where an attached workspace keeps a source on this machine, whether it is there or not."""
    return workspace / _FOLDER / digest


def send_source(objects: Objects, folder: Path, names: Iterable[str]) -> str:
    """Send those of the named files that exist, unless the place has them; an interrupted call is continued.

    Args:
        objects: The place.
        folder: The files' folder.
        names: File names relative to `folder`, with forward slashes.

    Returns:
        The hash of the files' names and bytes, by which they are found.

    Raises:
        StoreError: A file changes meanwhile, or the place fails.
    """
    present = sorted({name for name in names if (folder / name).is_file()})
    watched = WatchedFiles(folder / name for name in present)
    digest = sha256_folder(folder, present)
    if objects.read(_manifest_key(digest)) is not None:
        return digest
    sent = {found.key: found.size for found in objects.list(f"{_FOLDER}/{digest}/files/")}
    sizes = {name: (folder / name).stat().st_size for name in present}
    missing = {name: size for name, size in sizes.items() if sent.get(_file_key(digest, name)) != size}
    if missing:
        logger.info("sending %d files of %s to %s", len(missing), folder.name, objects.url)
    _transfer(lambda name: objects.upload(folder / name, _file_key(digest, name)), missing)
    if changed := watched.find_changed():
        raise StoreError(f"{changed} has changed while it was sent to {objects.url}; run again.")
    entries = [{"name": name, "size": size} for name, size in sizes.items()]
    objects.create(_manifest_key(digest), json.dumps({"files": entries}, indent=1).encode("utf-8"))
    return digest


def fetch_source(workspace: Path, objects: Objects, digest: str) -> Path:
    """Return this machine's folder of a source, downloaded and verified if it is not there.

    Raises:
        StoreError: The place does not have it, or has other bytes; or the disk cannot be written.
    """
    folder = source_folder(workspace, digest)
    if folder.is_dir():
        return folder
    with file_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with hold(_lock_file(folder), f"fetching source {digest[:12]}"):
        if not folder.is_dir():
            with file_errors("write", folder):
                # A link to a folder of the user that is gone.
                folder.unlink(missing_ok=True)
                with atomic_folder(folder) as partial:
                    _download(objects, digest, partial)
    return folder


def keep_copy(workspace: Path, digest: str, folder: Path, names: Iterable[str]) -> None:
    """Copy files that this machine has sent to where it would fetch them, unless they are there."""
    target = source_folder(workspace, digest)
    with file_errors("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold(_lock_file(target), f"copying source {digest[:12]}"):
            if not target.is_dir():
                target.unlink(missing_ok=True)
                with atomic_folder(target) as partial:
                    copy_files(folder, names, partial)


def keep_link(workspace: Path, digest: str, folder: Path) -> None:
    """Link a large folder that this machine has sent to where it would fetch it, unless it is there."""
    target = source_folder(workspace, digest)
    with file_errors("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold(_lock_file(target), f"linking source {digest[:12]}"):
            if not target.is_dir():
                target.unlink(missing_ok=True)
                target.symlink_to(folder.resolve(), target_is_directory=True)


def named_source(objects: Objects, key: str) -> str | None:
    """Return the hash of the source that an object names; None if there is no such object.

    Raises:
        StoreError: The object cannot be read as such, or the place fails.
    """
    found = objects.read(key)
    if found is None:
        return None
    try:
        digest = str(json.loads(found[0])["source"])
    except (ValueError, KeyError, TypeError):
        digest = ""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise StoreError(
            f"{key} in {objects.url} does not name a source; delete it, and run again where its files are."
        )
    return digest


def name_source(objects: Objects, key: str, digest: str) -> None:
    """Let an object name a source, whatever it named before."""
    if named_source(objects, key) != digest:
        objects.put(key, json.dumps({"source": digest}).encode("utf-8"))


def drop_source(workspace: Path, digest: str) -> None:
    """Remove this machine's copy of a source, or its link, so that it is fetched again."""
    folder = source_folder(workspace, digest)
    with file_errors("remove", folder), hold(_lock_file(folder), f"removing source {digest[:12]}"):
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)


def copy_files(folder: Path, names: Iterable[str], target: Path) -> None:
    """Copy those of the named files that exist into another folder.

    Raises:
        OSError: If the disk refuses.
    """
    for name in names:
        if (folder / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target / name)


def _download(objects: Objects, digest: str, folder: Path) -> None:
    sizes = _read_sizes(objects, digest)
    for name in sizes:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    _transfer(lambda name: objects.download(_file_key(digest, name), folder / name), sizes)
    if sha256_folder(folder, sizes) != digest:
        raise StoreError(
            f"{objects.url} has other bytes at {_FOLDER}/{digest} than were sent; delete that there, and run again on "
            "the machine that has the files."
        )


def _transfer(act: Callable[[str], None], sizes: Mapping[str, int]) -> None:
    """Call a function of each file: small ones several at once, large ones one after the other."""
    at_once(act, [name for name, size in sizes.items() if size <= _SMALL_BYTES])
    for name, size in sizes.items():
        if size > _SMALL_BYTES:
            act(name)


def _read_sizes(objects: Objects, digest: str) -> dict[str, int]:
    found = objects.read(_manifest_key(digest))
    if found is None:
        raise StoreError(
            f"{objects.url} does not have {_FOLDER}/{digest}, which this run reads; run again on the machine that has "
            "the data and the model."
        )
    try:
        entries = json.loads(found[0])["files"]
        # The names become paths here.
        files = [FileEntry(str(entry["name"]), int(entry["size"]), "") for entry in entries]
        return {file.name: file.size for file in files}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{_manifest_key(digest)} in {objects.url} cannot be read as a list of files; delete it, and run again on "
            "the machine that has the files."
        ) from error


def _manifest_key(digest: str) -> str:
    return f"{_FOLDER}/{digest}/{MANIFEST_NAME}"


def _file_key(digest: str, name: str) -> str:
    return f"{_FOLDER}/{digest}/files/{name}"


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
