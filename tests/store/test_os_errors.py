"""Real faults of the file system become one sentence, and no finished work is lost."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from disks import fill, max_file_size, small_disk
from safetensors.numpy import save_file

from pkd_core.errors import StoreError
from pkd_core.store.os_errors import disk_errors, file_errors
from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def write_bytes(path: Path) -> None:
    path.write_bytes(b"x" * 1_000_000)


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(200_000)}), path)


def write_arrow(path: Path) -> None:
    table = pa.table({"x": np.zeros(200_000)})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def write_safetensors(path: Path) -> None:
    save_file({"x": np.zeros(200_000)}, path)


@pytest.mark.parametrize("write", [write_bytes, write_parquet, write_arrow, write_safetensors])
def test_a_disk_that_fills_up_while_a_stage_works_is_named(disk: Path, write: Callable[[Path], None]) -> None:
    store = StageStore(disk)
    with pytest.raises(StoreError) as raised, store.writing(ADDRESS, {}) as work:
        (work / "finished").write_bytes(b"kept")
        write(work / "large")
    assert str(raised.value) == (
        f"pkd needs to write {work}, but the system answers 'No space left on device':"
        " free some disk space and run again (what is finished is kept)."
    )
    assert (disk / ADDRESS.work_folder / "finished").read_bytes() == b"kept"
    (disk / ADDRESS.work_folder / "large").unlink(missing_ok=True)
    with store.writing(ADDRESS, {}) as work:
        assert (work / "finished").exists()
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE


def test_a_disk_too_full_for_the_manifest_keeps_the_old_copy(disk: Path) -> None:
    store = StageStore(disk)
    with store.writing(ADDRESS, {}) as work:
        (work / "file").write_bytes(b"old")
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    with (
        pytest.raises(StoreError, match=r"needs to publish .*No space left"),
        store.writing(ADDRESS, {}) as work,
    ):
        (work / "file").write_bytes(b"new")
        fill(disk)
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE
    assert (disk / ADDRESS.folder / "file").read_bytes() == b"old"
    assert (disk / ADDRESS.work_folder / "file").read_bytes() == b"new"


def test_a_file_over_the_quota_is_named(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    with (
        pytest.raises(StoreError, match="File too large"),
        store.writing(ADDRESS, {}) as work,
        max_file_size(100_000),
    ):
        (work / "large").write_bytes(b"x" * 1_000_000)


def test_a_read_only_disk_is_named(disk: Path) -> None:
    remount = subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True, check=False)
    if remount.returncode:
        pytest.skip("cannot remount")
    store = StageStore(disk / "workspace")
    assert store.inspect(ADDRESS).status is StageStatus.MISSING
    expected = r"Read-only file system.*choose another workspace"
    with pytest.raises(StoreError, match=expected), store.writing(ADDRESS, {}):
        raise AssertionError("the body must not run")


@pytest.mark.parametrize("blocked", ["artifacts", "artifacts/RTE", "artifacts/RTE/.work"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_bytes(b"")
    store = StageStore(tmp_path)
    assert store.inspect(ADDRESS).status is StageStatus.MISSING
    with pytest.raises(StoreError, match="move away the file"), store.writing(ADDRESS, {}):
        raise AssertionError("the body must not run")


def test_a_file_in_place_of_the_work_folder_is_named_and_the_lock_freed(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    work = tmp_path / ADDRESS.work_folder
    work.parent.mkdir(parents=True)
    work.write_bytes(b"")
    with pytest.raises(StoreError, match="move away the file"), store.writing(ADDRESS, {}):
        raise AssertionError("the body must not run")
    work.unlink()
    with store.writing(ADDRESS, {}) as entered:
        assert entered == work


def test_a_file_in_place_of_the_backup_folder_loses_neither_copy(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    for text in ("old", "new"):
        if text == "new":
            (tmp_path / ADDRESS.backup_folder).write_bytes(b"")
        with store.writing(ADDRESS, {}) as work:
            (work / "file").write_text(text, encoding="utf-8")
            if text == "old":
                store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
                continue
            with pytest.raises(StoreError, match="needs to publish"):
                store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    assert (tmp_path / ADDRESS.folder / "file").read_text(encoding="utf-8") == "old"
    assert (tmp_path / ADDRESS.work_folder / "file").read_text(encoding="utf-8") == "new"
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workspace").write_bytes(b"")
    with pytest.raises(StoreError, match=r"must be a folder, got the file .*workspace: choose another"):
        StageStore(tmp_path / "workspace")


def test_a_stages_own_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), StageStore(tmp_path).writing(ADDRESS, {}) as work:
        (work / "absent").read_bytes()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some disk space and run again (what is finished is kept)"),
        (errno.EDQUOT, "free some disk space and run again (what is finished is kept)"),
        (errno.EFBIG, "free some disk space and run again (what is finished is kept)"),
        (errno.EROFS, "make it writable for this user, or choose another workspace"),
        (errno.EIO, "check the disk and run again"),
    ],
)
def test_each_failure_of_the_disk_is_named_with_advice(number: int, advice: str) -> None:
    with pytest.raises(StoreError) as raised, disk_errors("write", Path("/disk")):
        raise OSError(number, "words of a library")
    assert str(raised.value) == (
        f"pkd needs to write /disk, but the system answers '{os.strerror(number)}': {advice}."
    )


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), ValueError("x (os error 2)"), KeyError("x")])
def test_errors_that_are_not_the_disks_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, disk_errors("write", Path("/disk")):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OSError(errno.EACCES, "x"),
            "'Permission denied': make it writable for this user, or choose another workspace",
        ),
        (
            OSError(errno.EPERM, "x"),
            "'Operation not permitted': make it writable for this user, or choose another workspace",
        ),
        (
            OSError(errno.ENOTDIR, "x"),
            "'Not a directory': move away the file that is where a folder is needed",
        ),
        (OSError(errno.EEXIST, "x"), "'File exists': move away the file that is where a folder is needed"),
        (OSError(errno.ENAMETOOLONG, "x"), "'File name too long': choose a shorter path"),
        (OSError(errno.EIO, "x"), "'Input/output error': check the disk and run again"),
        (OSError("words of a library"), "'words of a library': check the disk and run again"),
    ],
)
def test_every_file_error_is_named_with_advice(error: OSError, expected: str) -> None:
    with (
        pytest.raises(
            StoreError, match=f"^pkd needs to read /disk/file, but the system answers {expected}\\.$"
        ),
        file_errors("read", Path("/disk/file")),
    ):
        raise error
