"""Which report a workspace's last run made."""

import os
from pathlib import Path

from pkd_core.store.address import StageRecord
from pkd_core.store.os_errors import file_errors


def remember_latest(workspace: Path, report: StageRecord) -> None:
    """Note a report as the latest, replacing the note before it at once.

    Raises:
        StoreError: If the disk refuses.
    """
    note = _note(workspace)
    with file_errors("write", note):
        note.parent.mkdir(parents=True, exist_ok=True)
        beside = note.with_name(f"{note.name}.{os.getpid()}")
        beside.write_text(report.path + "\n", encoding="utf-8")
        beside.replace(note)


def latest_report(workspace: Path) -> Path | None:
    """Return the folder of the latest report, or None if there is none."""
    note = _note(workspace)
    if not note.is_file():
        return None
    folder = workspace / note.read_text(encoding="utf-8").strip()
    return folder if folder.is_dir() else None


def _note(workspace: Path) -> Path:
    return workspace / "artifacts" / "reports" / "latest.txt"
