"""`pkd` in this process, as tests run it, and what it leaves behind."""

from pathlib import Path

import pytest

from flows.cli.app import main


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and content of everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def run_pkd(*arguments: str) -> int:
    """Run `pkd` in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code if isinstance(ended.value.code, int) else 0
