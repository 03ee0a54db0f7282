"""Too little disk space is reported with both amounts, in a unit in which neither is zero."""

from pathlib import Path

import pytest

from pkd_core.errors import StoreError
from pkd_core.store import os_errors
from pkd_core.store.os_errors import check_disk_space


def test_what_fits_passes(tmp_path: Path) -> None:
    check_disk_space(tmp_path, 1000, "training checkpoints")


@pytest.mark.parametrize(
    ("needed", "free", "expected"),
    [
        (2_500_000_000, 600_000_000, "expected 2.50 GB of free disk for states, got 0.60 GB; free some"),
        (50_000, 40_000, "expected 0.05 MB of free disk for states, got 0.04 MB; free some"),
        (100_000_000, 99_990_000, "expected 0.10 GB of free disk for states, got 99.99 MB; free some"),
        (2_500_000_000, 40_000, "expected 2.50 GB of free disk for states, got 0.04 MB; free some"),
    ],
)
def test_too_little_disk_space_is_reported_with_both_amounts(
    needed: int, free: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = os_errors.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(os_errors.shutil, "disk_usage", lambda _: usage._replace(free=free))
    with pytest.raises(StoreError, match=expected):
        check_disk_space(tmp_path, needed, "states")


def test_exactly_the_free_disk_space_is_enough_and_one_byte_more_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = os_errors.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(os_errors.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    check_disk_space(tmp_path, 1000, "states")
    with pytest.raises(StoreError, match=rf"^{tmp_path}: expected .* for states, .*; buy a larger disk$"):
        check_disk_space(tmp_path, 1001, "states", "buy a larger disk")
