"""Real faults of the file system become one sentence, and lose nothing that was finished."""

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from pkd_core.errors import StoreError
from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size: what a disk quota does, without a mount."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


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
def test_a_disk_that_fills_up_while_a_stage_works_is_named(
    small_disk: Path, write: Callable[[Path], None]
) -> None:
    store = StageStore(small_disk)
    said = r"No space left on device.*free some disk space"
    with pytest.raises(StoreError, match=said), store.writing(ADDRESS, {}) as work:
        (work / "finished").write_bytes(b"kept")
        write(work / "large")
    assert (small_disk / ADDRESS.work_folder / "finished").read_bytes() == b"kept"
    (small_disk / ADDRESS.work_folder / "large").unlink(missing_ok=True)
    with store.writing(ADDRESS, {}) as work:
        assert (work / "finished").exists()
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE


def test_a_disk_too_full_for_the_manifest_keeps_the_old_copy(small_disk: Path) -> None:
    store = StageStore(small_disk)
    with store.writing(ADDRESS, {}) as work:
        (work / "file").write_bytes(b"old")
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    with (
        pytest.raises(StoreError, match=r"needs to publish .*No space left"),
        store.writing(ADDRESS, {}) as work,
    ):
        (work / "file").write_bytes(b"new")
        with pytest.raises(OSError, match="No space left"), (small_disk / "filler").open("wb") as filler:
            while True:
                filler.write(b"x" * 4096)
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE
    assert (small_disk / ADDRESS.folder / "file").read_bytes() == b"old"
    assert (small_disk / ADDRESS.work_folder / "file").read_bytes() == b"new"


def test_a_file_over_the_quota_is_named(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    with (
        pytest.raises(StoreError, match="File too large"),
        store.writing(ADDRESS, {}) as work,
        largest_file(100_000),
    ):
        (work / "large").write_bytes(b"x" * 1_000_000)


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    remount = subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], capture_output=True, check=False)
    if remount.returncode:
        pytest.skip("cannot remount")
    store = StageStore(small_disk / "workspace")
    assert store.inspect(ADDRESS).status is StageStatus.MISSING
    said = r"Read-only file system.*choose another workspace"
    with pytest.raises(StoreError, match=said), store.writing(ADDRESS, {}):
        raise AssertionError("the body must not run")


@pytest.mark.parametrize("blocked", ["artifacts", "artifacts/RTE", "artifacts/RTE/.work"])
def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_bytes(b"")
    store = StageStore(tmp_path)
    assert store.inspect(ADDRESS).status is StageStatus.MISSING
    with pytest.raises(StoreError, match="move away the file"), store.writing(ADDRESS, {}):
        raise AssertionError("the body must not run")


def test_a_file_where_the_work_folder_is_needed_is_named_and_frees_the_lock(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    work = tmp_path / ADDRESS.work_folder
    work.parent.mkdir(parents=True)
    work.write_bytes(b"")
    with pytest.raises(StoreError, match="move away the file"), store.writing(ADDRESS, {}):
        raise AssertionError("the body must not run")
    work.unlink()
    with store.writing(ADDRESS, {}) as found:
        assert found == work


def test_a_file_where_replaced_copies_go_keeps_both_copies(tmp_path: Path) -> None:
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
    with pytest.raises(StoreError, match=r"must be a folder, got the file .*workspace: name another"):
        StageStore(tmp_path / "workspace")


def test_a_stages_own_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), StageStore(tmp_path).writing(ADDRESS, {}) as work:
        (work / "absent").read_bytes()
