"""A small file system that a test can fill, or make read-only, while a run works on it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SIZE = "size=64m"
_FILLER = "filler"


class NotPossibleError(Exception):
    """The machine does not allow this fault."""


@contextmanager
def temporary_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 64 MB for the duration of the body.

    Raises:
        NotPossibleError: If mounting is not allowed; with the system's message.
    """
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", _SIZE, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, free_bytes: int = 0) -> None:
    """Fill a disk up to some free bytes."""
    filler = disk / _FILLER
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    os.truncate(filler, max(0, filler.stat().st_size - free_bytes))


def remove_filler(disk: Path) -> None:
    """Undo `fill`."""
    (disk / _FILLER).unlink(missing_ok=True)


def make_read_only(disk: Path) -> None:
    """Remount a disk read-only."""
    _mount("-o", "remount,ro", str(disk))


def make_writable(disk: Path) -> None:
    """Undo `make_read_only`."""
    _mount("-o", "remount,rw", str(disk))


def _mount(*options: str) -> None:
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotPossibleError(str(error)) from error
    if done.returncode:
        raise NotPossibleError(done.stderr.strip())
