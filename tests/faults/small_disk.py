"""A file system of some megabytes, to be filled or closed to writing while a run works on it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SIZE = "size=64m"
_FILLER = "filler"


class NotPossibleError(Exception):
    """Nothing may be mounted on this machine."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 64 MB for as long as the body runs.

    Raises:
        NotPossibleError: If mounting is not allowed; with the system's answer.
    """
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", _SIZE, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Write to a disk until nothing fits, then free some bytes again."""
    filler = disk / _FILLER
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    os.truncate(filler, max(0, filler.stat().st_size - leave))


def free(disk: Path) -> None:
    """Remove what `fill` wrote."""
    (disk / _FILLER).unlink(missing_ok=True)


def close_to_writing(disk: Path) -> None:
    """Let nobody write to a disk any more."""
    _mount("-o", "remount,ro", str(disk))


def open_to_writing(disk: Path) -> None:
    """Undo `close_to_writing`."""
    _mount("-o", "remount,rw", str(disk))


def _mount(*options: str) -> None:
    try:
        ended = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotPossibleError(str(error)) from error
    if ended.returncode:
        raise NotPossibleError(ended.stderr.strip())
