"""A publishing process may die at any point: a part of a stage is never visible."""

from pathlib import Path

from kill_points import kill_at_each_operation
from published_stages import publish

from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


def publish_text(workspace: Path, text: bytes) -> None:
    publish(StageStore(workspace), ADDRESS, {"nested/file": text, "other": text})


def test_a_publisher_killed_at_any_operation_leaves_the_old_copy_or_none_or_the_new(tmp_path: Path) -> None:
    workspaces = kill_at_each_operation(
        tmp_path,
        prepare=lambda workspace: publish_text(workspace, b"old"),
        run=lambda workspace: publish_text(workspace, b"new"),
    )
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
