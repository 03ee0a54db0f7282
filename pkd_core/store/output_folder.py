"""A folder of the user with copies of published files: written so that a kill leaves nothing that looks whole.

Its file `pkd.json` says what was written, and whether all of it was. Files that pkd has not written, or that were
changed since, are never replaced.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pkd_core.errors import ConfigError, DamagedError, StoreError
from pkd_core.store.atomic import atomic_file, atomic_write_text, partial_path
from pkd_core.store.fingerprint import hash_file
from pkd_core.store.lock import hold
from pkd_core.store.manifest import FileEntry
from pkd_core.store.os_errors import file_errors

RECORD = "pkd.json"
_LOCK = ".pkd.lock"
_FORMAT = 1


@dataclass(frozen=True)
class Copy:
    """A published file, and what its manifest says of it.

    Attributes:
        source: Where it is.
        entry: Its size and hash; the name is not used.
    """

    source: Path
    entry: FileEntry


@dataclass(frozen=True)
class _Record:
    """What an output folder holds: the files that it is to have, and further ones that an earlier run has written."""

    complete: bool
    files: tuple[FileEntry, ...]
    earlier: tuple[FileEntry, ...]

    def hashes(self, name: str) -> set[str]:
        return {entry.xxh3 for entry in (*self.files, *self.earlier) if entry.name == name}

    def to_json(self) -> str:
        values = {
            "format": _FORMAT,
            "complete": self.complete,
            "files": [asdict(entry) for entry in self.files],
            "earlier": [asdict(entry) for entry in self.earlier],
        }
        return json.dumps(values, indent=2) + "\n"


def check_output(folder: Path) -> None:
    """Check, before hours are spent, that a folder can take an output.

    Raises:
        ConfigError: It is a file, or has files but no record of an earlier output.
        StoreError: The system refuses the path.
    """
    with file_errors("use", folder):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--out needs a folder, and {folder} is a file; give another.")
        _read_record(folder)


def write_output(folder: Path, copies: Mapping[str, Copy]) -> bool:
    """Copy published files into a folder, replacing those of an earlier output; return whether anything was to do.

    Args:
        folder: The folder; it is made if it does not exist.
        copies: What to copy, by the path inside the folder, with forward slashes.

    Raises:
        ConfigError: The folder has other files, or one that was changed since it was written.
        StoreError: The disk cannot be read or written.
        DamagedError: A published file has other bytes than were published.
    """
    check_output(folder)
    wanted = tuple(FileEntry(name, copy.entry.size, copy.entry.xxh3) for name, copy in copies.items())
    with file_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold(folder / _LOCK, f"writing {folder}"):
            record = _read_record(folder)
            if record.complete and record.files == wanted and _are_there(folder, wanted):
                return False
            _check_unchanged(folder, copies, record)
            _write(folder, copies, wanted, record)
            return True
    finally:
        with suppress(OSError):
            (folder / _LOCK).unlink(missing_ok=True)


def _write(folder: Path, copies: Mapping[str, Copy], wanted: tuple[FileEntry, ...], record: _Record) -> None:
    earlier = tuple(entry for entry in (*record.files, *record.earlier) if entry not in wanted)
    with file_errors("write", folder):
        _write_record(folder, _Record(False, wanted, earlier))
        for entry in wanted:
            path = folder / entry.name
            if not path.is_file() or hash_file(path) != entry.xxh3:
                _copy(copies[entry.name].source, path, entry)
        for entry in earlier:
            path = folder / entry.name
            partial_path(path).unlink(missing_ok=True)
            # A file that was changed since is the user's by now.
            if entry.name not in copies and path.is_file() and hash_file(path) == entry.xxh3:
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()
        _write_record(folder, _Record(True, wanted, ()))


def _copy(source: Path, path: Path, entry: FileEntry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file, atomic_file(path) as target:
        shutil.copyfileobj(file, target, 1 << 20)
    if hash_file(path) != entry.xxh3:
        path.unlink()
        raise DamagedError(f"{source} has other bytes than were published; run again to build it again.")


def _check_unchanged(folder: Path, copies: Mapping[str, Copy], record: _Record) -> None:
    for name, copy in copies.items():
        path = folder / name
        if path.exists() and not (
            path.is_file() and hash_file(path) in record.hashes(name) | {copy.entry.xxh3}
        ):
            raise ConfigError(
                f"{path} was not written by pkd, or was changed since, and is not replaced; move it away, or give "
                "another --out."
            )


def _are_there(folder: Path, entries: tuple[FileEntry, ...]) -> bool:
    paths = [folder / entry.name for entry in entries]
    return all(
        path.is_file() and path.stat().st_size == entry.size
        for path, entry in zip(paths, entries, strict=True)
    )


def _read_record(folder: Path) -> _Record:
    """Return what a folder holds; nothing yet if it does not exist or is empty."""
    path = folder / RECORD
    if not path.exists():
        other = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        if set(other) - {_LOCK, _LOCK.replace(".lock", ".holder"), partial_path(path).name}:
            raise ConfigError(
                f"--out needs a new or empty folder, or one of an earlier run, and {folder} has other files in it; "
                "give another."
            )
        return _Record(False, (), ())
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise ValueError("another format")
        return _Record(bool(values["complete"]), _entries(values["files"]), _entries(values["earlier"]))
    except (ValueError, KeyError, TypeError, StoreError) as error:
        raise ConfigError(
            f"{path}: expected the record of an earlier run's output, got a file that cannot be read as one; give "
            "another --out."
        ) from error


def _entries(values: Any) -> tuple[FileEntry, ...]:
    return tuple(FileEntry(str(value["name"]), int(value["size"]), str(value["xxh3"])) for value in values)


def _write_record(folder: Path, record: _Record) -> None:
    atomic_write_text(folder / RECORD, record.to_json())
