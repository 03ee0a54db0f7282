"""The report of a workspace's last run: a convenience, which the next run writes again."""

import re
from pathlib import Path

from pkd_core.places.objects import Objects
from pkd_core.store.address import StageRecord
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.attached import place_of
from pkd_core.store.catalog import address_of, local_copy
from pkd_core.store.os_errors import file_errors
from pkd_core.store.published import find_manifest

_FILE = Path("artifacts", "reports", "latest.txt")
_FOLDER = re.compile(rb"artifacts/reports/report-[0-9a-f]{16}")


def record_latest(workspace: Path, report: StageRecord) -> None:
    """Record a report as the latest.

    Raises:
        StoreError: If the disk cannot be written.
    """
    if place := place_of(workspace):
        place.put(_FILE.as_posix(), f"{report.path}\n".encode("ascii"))
        return
    path = workspace / _FILE
    with file_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, report.path + "\n", has_concurrent_writers=True)


def latest_report(workspace: Path) -> Path | None:
    """Return the folder of the latest report, or None if there is none, or if its record holds anything else.

    Raises:
        StoreError: Several machines share the workspace, and its place cannot be used.
    """
    place = place_of(workspace)
    try:
        recorded = (workspace / _FILE).read_bytes() if place is None else _recorded_in(place)
    except OSError:
        return None
    if not _FOLDER.fullmatch(recorded.strip()):
        return None
    folder = workspace / recorded.strip().decode("ascii")
    if place is None:
        return folder if folder.is_dir() else None
    address = address_of(folder)
    return None if address is None or find_manifest(place, address) is None else local_copy(folder)


def _recorded_in(place: Objects) -> bytes:
    found = place.read(_FILE.as_posix())
    return b"" if found is None else found[0]
