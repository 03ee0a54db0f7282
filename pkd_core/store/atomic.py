"""Atomic writes: after a crash at any moment a path holds what it held before, or the complete new file or folder.

New content is written under a temporary name in the same folder, flushed to the disk, and renamed.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def partial_path(path: Path) -> Path:
    """Return the temporary name of an unfinished file or folder; the next writer overwrites what a killed one left.

    >>> partial_path(Path("artifacts/best")).as_posix()
    'artifacts/best.part'
    """
    return path.with_name(f"{path.name}.part")


@contextmanager
def atomic_file(path: Path, has_concurrent_writers: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes `path` when the body ends, and is removed when the body fails.

    Args:
        path: The file to create or replace, in an existing folder.
        has_concurrent_writers: Give the temporary file a unique name, because processes that hold no common lock may
            write `path` at the same time. A killed writer's file then stays.

    Raises:
        OSError: If the disk is full or cannot be written.
    """
    partial = partial_path(
        path.with_name(f"{path.name}.{uuid.uuid4().hex}") if has_concurrent_writers else path
    )
    file = partial.open("wb")
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        durable_rename(partial, path)
    except BaseException:
        # After a failed write, closing fails as well.
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            partial.unlink()
        raise


def atomic_write_text(path: Path, text: str, has_concurrent_writers: bool = False) -> None:
    """Create or replace a UTF-8 text file; see `atomic_file`."""
    with atomic_file(path, has_concurrent_writers) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `path` when the body ends, and is removed when the body fails.

    Args:
        path: The folder to create; an empty folder there is replaced. Only one process at a time may write it.

    Raises:
        OSError: If the disk is full or cannot be written, or something else is at `path`.
    """
    partial = partial_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    try:
        yield partial
        fsync_tree(partial)
        durable_rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def fsync_tree(path: Path) -> None:
    """Wait until a file, or a folder with everything in it, is on the disk."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            _fsync(Path(folder, name))
        _fsync(Path(folder))
    if not path.is_dir():
        _fsync(path)


def durable_rename(source: Path, target: Path) -> None:
    """Rename a file or folder that is on the disk, and wait until its new name is on the disk too.

    Args:
        source: What to rename; call `fsync_tree` on it first.
        target: Its new path, in the same file system. A file or an empty folder there is replaced.

    Raises:
        OSError: If the file system refuses.
    """
    source.replace(target)
    for folder in {source.parent, target.parent}:
        _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
