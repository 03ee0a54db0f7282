"""A publishing process may die at any point: a part of a stage is never visible."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kill_points import kill_at_each_operation
from published_stages import publish

from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


def publish_text(workspace: Path, text: bytes) -> None:
    publish(StageStore(workspace), ADDRESS, {"nested/file": text, "other": text})


def publish_old(workspace: Path) -> None:
    publish_text(workspace, b"old")


def publish_new(workspace: Path) -> None:
    publish_text(workspace, b"new")


def test_a_publisher_killed_at_any_operation_leaves_the_old_copy_or_none_or_the_new(tmp_path: Path) -> None:
    workspaces = kill_at_each_operation(tmp_path, publish_old, publish_new)
    assert len(workspaces) > 15
    states = []
    for workspace in workspaces:
        store = StageStore(workspace)
        status = store.inspect(ADDRESS, deep=True).status
        file = workspace / ADDRESS.folder / "nested/file"
        states.append((status, file.read_bytes() if status is StageStatus.DONE else b""))
        if states[-1][1] != b"new":
            publish_text(workspace, b"again")
            assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE
        backups = [copy.read_bytes() for copy in (workspace / ADDRESS.backup_folder).rglob("file")]
        assert backups == [b"old"], "the old copy is never lost"
    assert list(dict.fromkeys(states)) == [
        (StageStatus.DONE, b"old"),
        (StageStatus.MISSING, b""),
        (StageStatus.DONE, b"new"),
    ]


def test_a_replaced_copy_is_named_for_the_time_of_its_replacement_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC-5")
    time.tzset()
    try:
        publish_text(tmp_path, b"old")
        publish_text(tmp_path, b"new")
    finally:
        monkeypatch.undo()
        time.tzset()
    (backup,) = (tmp_path / ADDRESS.backup_folder).iterdir()
    replaced = datetime.strptime(backup.name, f"{ADDRESS.name}-%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    assert timedelta() <= datetime.now(UTC) - replaced < timedelta(minutes=1)


def test_everything_is_on_the_disk_before_the_renames_and_each_name_after_its_own(
    tmp_path: Path, synced: list[tuple[str, int]]
) -> None:
    publish_text(tmp_path, b"old")
    synced.clear()
    publish_text(tmp_path, b"new")
    names = [call for call, _ in synced]
    work = ADDRESS.name
    first = names.index("rename " + work)
    flushed = dict(synced[:first])
    assert flushed["fsync file"] == flushed["fsync other"] == len(b"new")
    manifest = (tmp_path / ADDRESS.folder / "manifest.json").stat().st_size
    assert flushed["fsync manifest.json"] == manifest
    assert names[first - 1] == f"fsync {work}", "the folder after all that it holds"
    assert [names[first], *sorted(names[first + 1 : first + 3])] == [
        f"rename {work}",
        "fsync .aside",
        "fsync RTE",
    ], "the backup's name before the new copy appears"
    assert [names[first + 3], *sorted(names[first + 4 :])] == [f"rename {work}", "fsync .work", "fsync RTE"]
