"""Too little room is told with both amounts, in a unit in which neither is nought."""

from pathlib import Path

import pytest

from pkd_core.errors import StoreError
from pkd_core.store import os_errors
from pkd_core.store.os_errors import check_disk_space


def test_what_fits_is_let_pass(tmp_path: Path) -> None:
    check_disk_space(tmp_path, 1000, "training checkpoints")


@pytest.mark.parametrize(
    ("needed", "free", "said"),
    [
        (2_500_000_000, 600_000_000, "expected 2.50 GB of free disk for states, got 0.60 GB; free some"),
        (50_000, 40_000, "expected 0.05 MB of free disk for states, got 0.04 MB; free some"),
        (2_500_000_000, 40_000, "expected 2.50 GB of free disk for states, got 0.04 MB; free some"),
    ],
)
def test_too_little_room_is_told_with_both_amounts(
    needed: int, free: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = os_errors.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(os_errors.shutil, "disk_usage", lambda _: usage._replace(free=free))
    with pytest.raises(StoreError, match=said):
        check_disk_space(tmp_path, needed, "states")
