"""The report of a workspace's last run: a convenience, which the next run writes again."""

import re
from pathlib import Path

from pkd_core.store.address import StageRecord
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.os_errors import file_errors

_FOLDER = re.compile(rb"artifacts/reports/report-[0-9a-f]{16}")


def record_latest(workspace: Path, report: StageRecord) -> None:
    """Record a report as the latest.

    Raises:
        StoreError: If the disk cannot be written.
    """
    path = _path(workspace)
    with file_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, report.path + "\n", has_concurrent_writers=True)


def latest_report(workspace: Path) -> Path | None:
    """Return the folder of the latest report, or None if there is none, or if its record holds anything else."""
    try:
        recorded = _path(workspace).read_bytes().strip()
    except OSError:
        return None
    if not _FOLDER.fullmatch(recorded):
        return None
    folder = workspace / recorded.decode("ascii")
    return folder if folder.is_dir() else None


def _path(workspace: Path) -> Path:
    return workspace / "artifacts" / "reports" / "latest.txt"
