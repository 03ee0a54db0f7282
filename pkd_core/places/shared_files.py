"""Writing files of a folder that several machines share: whole, without overwriting, without locks.

What NFS does to this, and what is done about it:

- The answer to `link` or `rename` can be lost; the second try then fails. A file with two links was linked, and a
  file that stands at a unique name was renamed.
- A machine keeps the names of a folder in memory for up to a minute, also that there was none. Creating something in
  the folder makes it ask the server again. A name that it knows is checked with the server whenever it is opened.
- A file that another machine has replaced answers "stale" in the middle of reading: it is opened again.
"""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pkd_core.places.objects import HIDDEN

T = TypeVar("T")

_TEMPORARY = HIDDEN[0]
_NUM_TRIES = 5
_CHUNK_BYTES = 1 << 20
_SECONDS_UNTIL_LEFT_OVER = 86_400


def temporary_path(path: Path) -> Path:
    """Return a unique name in the same folder, which lists leave out."""
    return path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")


@contextmanager
def temporary_file(path: Path, source: bytes | Path, root: Path) -> Iterator[Path]:
    """Yield a complete file that is on the disk, beside the path that it is for; what the body leaves is deleted.

    Args:
        path: The path that the file is for. Missing folders below `root` are created.
        source: The content, or a file to copy.
        root: A folder above, which is never created.
    """
    temporary = temporary_path(path)
    try:
        for num_left in reversed(range(_NUM_TRIES)):
            try:
                _write(temporary, source)
                break
            except FileNotFoundError:
                # Also where another process deletes the last object of that folder, and the folder with it.
                if not num_left:
                    raise
                _make_folders(path.parent, root)
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def link(temporary: Path, path: Path) -> bool:
    """Give a temporary file its name unless there is a file of that name; return whether it got it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        if temporary.stat().st_nlink < 2:
            return False
    _fsync(path.parent)
    return True


def rename(temporary: Path, path: Path) -> None:
    """Give a temporary file its name, also in place of another file."""
    try:
        temporary.replace(path)
    except FileNotFoundError:
        if not path.exists():
            raise
    _fsync(path.parent)


def take_away(path: Path, unique: Path) -> bool:
    """Rename a file to a unique name; return whether this call did, which only one of several callers can."""
    try:
        path.rename(unique)
    except FileNotFoundError:
        return unique.exists()
    return True


def put_back(unique: Path, path: Path) -> None:
    """Undo `take_away` as far as the system lets it, unless there is another file by now."""
    with suppress(OSError):
        link(unique, path)
        unique.unlink()


def read(path: Path, root: Path) -> bytes | None:
    """Return a file's content as the server has it now; None if there is none."""
    try:
        return _first_or_refreshed(path.read_bytes, path, root)
    except (FileNotFoundError, NotADirectoryError):
        return None


def copy(source: Path, path: Path, root: Path) -> None:
    """Copy a file as the server has it now."""

    def act() -> None:
        with source.open("rb") as content, path.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)

    _first_or_refreshed(act, source, root)


def _first_or_refreshed(act: Callable[[], T], path: Path, root: Path) -> T:
    try:
        return _retry_stale(act)
    except (FileNotFoundError, NotADirectoryError):
        refresh(path.parent, root)
    return _retry_stale(act)


def _retry_stale(act: Callable[[], T]) -> T:
    """Repeat an act while the system answers that a file was replaced by another machine."""
    for _ in range(_NUM_TRIES - 1):
        try:
            return act()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return act()


def refresh(folder: Path, root: Path) -> None:
    """Make this machine ask the server which names there are in a folder, and in those above it that it lacks."""
    missing: list[Path] = []
    while folder != root and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    with suppress(OSError):  # a folder that may only be read, or that is not there
        for changed in (folder, *reversed(missing)):
            unique = temporary_path(changed / "any")
            unique.mkdir()
            unique.rmdir()


def walk(folder: Path, root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the plain files below a folder and their status, as the server has them now, without temporary ones.

    What a killed writer left more than a day ago is deleted on the way.
    """
    refresh(folder, root)
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = Path(entry.path)
        with suppress(FileNotFoundError):  # deleted, or renamed, since
            if entry.name.startswith(_TEMPORARY):
                _delete_left_over(path)
            elif entry.is_dir(follow_symlinks=False):
                yield from walk(path, root)
            elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(HIDDEN):
                yield path, path.stat()


def delete(path: Path, root: Path) -> None:
    """Delete a file, if there is one, and the folders below the root that are then empty."""
    path.unlink(missing_ok=True)
    folder = path.parent
    with suppress(OSError):  # not empty, or deleted by another
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _write(path: Path, source: bytes | Path) -> None:
    with path.open("xb") as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            with source.open("rb") as content:
                shutil.copyfileobj(content, file, _CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _make_folders(folder: Path, root: Path) -> None:
    if folder != root:
        _make_folders(folder.parent, root)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _delete_left_over(path: Path) -> None:
    if time.time() - path.lstat().st_mtime > _SECONDS_UNTIL_LEFT_OVER:
        with suppress(OSError):
            path.unlink()


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
