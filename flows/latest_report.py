"""The report of a workspace's last run."""

from pathlib import Path

from pkd_core.store.address import StageRecord
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.os_errors import file_errors


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
    """Return the folder of the latest report, or None if there is none."""
    path = _path(workspace)
    if not path.is_file():
        return None
    folder = workspace / path.read_text(encoding="utf-8").strip()
    return folder if folder.is_dir() else None


def _path(workspace: Path) -> Path:
    return workspace / "artifacts" / "reports" / "latest.txt"
