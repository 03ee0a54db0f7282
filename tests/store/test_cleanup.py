"""Garbage is what nothing refers to and nobody writes; deleting it is safe at any moment."""

import os
from pathlib import Path

import pytest
from disks import fill, small_disk
from kill_points import kill_at_each_operation
from published_stages import publish, snapshot

from pkd_core.errors import StoreError
from pkd_core.store.cleanup import find_garbage, remove
from pkd_core.store.garbage import Garbage, GarbageKind
from pkd_core.store.stage_store import Address, StageStatus, StageStore

TOKENS = Address("data_feat", "RTE", "tokens", "0123456789abcdef")
TEACHER = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


@pytest.fixture
def store(tmp_path: Path) -> StageStore:
    """A workspace with a stage in each area, a backup, and an unfinished stage."""
    store = StageStore(tmp_path / "workspace")
    publish(store, TOKENS, {"a": b"12345"})
    publish(store, TEACHER, {"old": b"1"})
    publish(store, TEACHER, {"b": b"123", "nested/c": b"12"})
    abandon(store, Address("artifacts", "RTE", "student", "0123456789abcdef"))
    return store


def abandon(store: StageStore, address: Address) -> None:
    with pytest.raises(KeyError), store.writing(address, {"tokens": "aa"}) as work:
        (work / "part").write_bytes(b"1234567")
        raise KeyError


def find(store: StageStore, *kept: Address) -> dict[str, Garbage]:
    garbage = list(find_garbage(store.workspace, {address.folder.as_posix() for address in kept}))
    assert len({one.folder for one in garbage}) == len(garbage)
    return {one.folder.name.partition("-")[0] + f" {one.kind.name}": one for one in garbage}


def test_garbage_is_all_that_is_not_kept_with_kind_size_and_time(store: StageStore) -> None:
    (backup,) = (store.workspace / TEACHER.backup_folder).iterdir()
    os.utime(store.workspace / TOKENS.folder / "a", (2_000_000_000.5, 2_000_000_000.5))
    manifest_size = (store.workspace / TOKENS.folder / "manifest.json").stat().st_size
    found = find(store)
    assert found["tokens UNREFERENCED"] == Garbage(
        TOKENS.folder, GarbageKind.UNREFERENCED, 5 + manifest_size, 2_000_000_000.5
    )
    assert found.keys() == {
        "tokens UNREFERENCED",
        "teacher UNREFERENCED",
        "teacher BACKUP",
        "student UNFINISHED",
    }
    assert found["teacher BACKUP"].folder == backup.relative_to(store.workspace)
    assert found["student UNFINISHED"].folder == Path("artifacts/RTE/.work/student-0123456789abcdef")
    assert found["student UNFINISHED"].num_bytes == 7 + len('{"tokens": "aa"}')
    assert find(store, TOKENS, TEACHER).keys() == {"teacher BACKUP", "student UNFINISHED"}


def test_work_on_a_kept_stage_is_kept(store: StageStore) -> None:
    student = Address("artifacts", "RTE", "student", "0123456789abcdef")
    assert "student UNFINISHED" not in find(store, student)


def test_what_a_process_writes_now_is_no_garbage_and_is_not_deleted(store: StageStore) -> None:
    found = find(store)
    student = Address("artifacts", "RTE", "student", "0123456789abcdef")
    with store.locked(TEACHER), store.locked(student):
        assert find(store).keys() == {"tokens UNREFERENCED", "teacher BACKUP"}
        before = snapshot(store.workspace)
        assert not remove(store.workspace, found["teacher UNREFERENCED"])
        assert not remove(store.workspace, found["student UNFINISHED"])
        assert snapshot(store.workspace) == before
        assert remove(store.workspace, found["tokens UNREFERENCED"]), "another stage's lock does not matter"


def test_finding_garbage_changes_no_file(store: StageStore) -> None:
    for path in store.workspace.rglob("*.lock"):
        path.unlink()
    before = snapshot(store.workspace)
    assert len(find(store)) == 4
    assert snapshot(store.workspace) == before


def test_garbage_of_each_kind_is_deleted_completely_and_nothing_else(store: StageStore) -> None:
    for garbage in find(store, TOKENS).values():
        assert remove(store.workspace, garbage)
        assert not (store.workspace / garbage.folder).exists()
    assert store.inspect(TOKENS, deep=True).status is StageStatus.DONE
    rest = {path.name for path in (store.workspace / "artifacts").rglob("*") if path.is_file()}
    assert rest == {"student-0123456789abcdef.lock", "teacher-0123456789abcdef.lock"}
    assert find(store, TOKENS) == {}


def test_deleting_a_published_stage_keeps_unfinished_work_on_it_resumable(store: StageStore) -> None:
    abandon(store, TEACHER)
    garbage = next(one for one in find_garbage(store.workspace, ()) if one.folder == TEACHER.folder)
    assert remove(store.workspace, garbage)
    with store.writing(TEACHER, {"tokens": "aa"}) as work:
        assert (work / "part").exists()


def test_a_stage_is_locked_while_it_is_deleted(store: StageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = find(store)["teacher UNREFERENCED"]
    rename = Path.replace

    def check(source: Path, target: Path) -> Path:
        with pytest.raises(StoreError, match="needs a lock"), store.locked(TEACHER, wait=False):
            pass
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", check)
    assert remove(store.workspace, garbage)


def test_a_link_to_another_disk_is_deleted_and_its_target_kept(store: StageStore, tmp_path: Path) -> None:
    (store.workspace / TEACHER.folder).rename(tmp_path / "elsewhere")
    (store.workspace / TEACHER.folder).symlink_to(tmp_path / "elsewhere")
    assert remove(store.workspace, find(store)["teacher UNREFERENCED"])
    assert not (store.workspace / TEACHER.folder).is_symlink()
    assert (tmp_path / "elsewhere" / "b").read_bytes() == b"123"
    (store.workspace / TEACHER.backup_folder / "file").write_bytes(b"1")
    garbage = find(store)["file BACKUP"]
    assert remove(store.workspace, garbage), "a file among the backups"
    assert not (store.workspace / TEACHER.backup_folder / "file").exists()
    assert remove(store.workspace, garbage), "another process may delete it first"


def test_a_disk_that_refuses_is_named_and_the_stage_stays(store: StageStore) -> None:
    (store.workspace / TOKENS.backup_folder).write_bytes(b"a file where backups go")
    with pytest.raises(
        StoreError, match=r"needs to remove .*tokens-0123456789abcdef, but the system answers"
    ):
        remove(store.workspace, find(store)["tokens UNREFERENCED"])
    assert store.inspect(TOKENS, deep=True).status is StageStatus.DONE


def test_garbage_is_deleted_from_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = StageStore(disk)
        publish(store, TEACHER, {"b": b"x" * 50_000})
        fill(disk)
        assert remove(disk, find(store)["teacher UNREFERENCED"])
        (disk / "file").write_bytes(b"x" * 40_000)


def publish_teacher(workspace: Path) -> None:
    publish(StageStore(workspace), TEACHER, {"nested/file": b"1", "file": b"1"})


def remove_teacher(workspace: Path) -> None:
    (garbage,) = find_garbage(workspace, ())
    remove(workspace, garbage)


def test_a_removal_killed_at_any_operation_leaves_the_complete_stage_or_none(tmp_path: Path) -> None:
    workspaces = kill_at_each_operation(tmp_path, publish_teacher, remove_teacher)
    assert len(workspaces) > 8
    statuses = [StageStore(workspace).inspect(TEACHER, deep=True).status for workspace in workspaces]
    assert list(dict.fromkeys(statuses)) == [StageStatus.DONE, StageStatus.MISSING]
    assert statuses == sorted(statuses), "once it is gone, it does not come back"
    for workspace in workspaces:
        for garbage in find_garbage(workspace, ()):
            assert remove(workspace, garbage), "a killed removal holds no lock"
        assert list(workspace.glob("artifacts/RTE/*/*/**/*")) == []
