"""Which report a workspace's last run made."""

from pathlib import Path

from pkd_core.store.address import StageRecord
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.os_errors import file_errors


def remember_latest(workspace: Path, report: StageRecord) -> None:
    """Note a report as the latest, replacing the note before it at once.

    Raises:
        StoreError: If the disk refuses.
    """
    note = _note(workspace)
    with file_errors("write", note):
        note.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(note, report.path + "\n", has_concurrent_writers=True)


def latest_report(workspace: Path) -> Path | None:
    """Return the folder of the latest report, or None if there is none."""
    note = _note(workspace)
    if not note.is_file():
        return None
    folder = workspace / note.read_text(encoding="utf-8").strip()
    return folder if folder.is_dir() else None


def _note(workspace: Path) -> Path:
    return workspace / "artifacts" / "reports" / "latest.txt"
