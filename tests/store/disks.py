"""Real shortages of disk space for tests: a small file system, and a limit on the size of files."""

import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, num_bytes: int = 256 * 1024) -> Iterator[Path]:
    """Mount an empty file system of a few bytes at a new folder; skips the test where mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk")
    try:
        yield folder
    finally:
        # Lazily: a failed test may still have a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def max_file_size(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size: what a disk quota does, without a mount."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def fill(folder: Path) -> None:
    """Write until the file system is full."""
    with pytest.raises(OSError, match="No space left"), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
