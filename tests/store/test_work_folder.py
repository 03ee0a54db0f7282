"""The work folder of an interrupted stage."""

import shutil
from pathlib import Path

import pytest
from kill_points import kill_at_each_operation

from pkd_core.store.address import Address
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import prepare_work, resume_folder

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


def interrupt(store: StageStore, inputs: dict[str, str]) -> None:
    with pytest.raises(KeyError), store.writing(ADDRESS, inputs) as work:
        (work / "part.bin").write_bytes(b"half")
        raise KeyError("interrupted")


def test_work_with_the_same_inputs_is_resumed(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {"tokens": "aa"})
    with store.writing(ADDRESS, {"tokens": "aa"}) as work:
        assert (work / "part.bin").read_bytes() == b"half"


def test_work_with_other_inputs_is_deleted(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {"tokens": "aa"})
    with store.writing(ADDRESS, {"tokens": "bb"}) as work:
        assert list(work.iterdir()) == []


def test_only_the_lock_file_is_left_after_publishing(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    with store.writing(ADDRESS, {"tokens": "aa"}) as work:
        (work / "model.bin").write_bytes(b"complete")
        store.publish(ADDRESS, code_version=1, config={}, inputs={"tokens": "aa"}, facts={})
    left = sorted(path.name for path in (tmp_path / ADDRESS.work_folder).parent.iterdir())
    assert left == [f"{ADDRESS.name}.lock"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{"])
def test_work_with_a_malformed_record_of_its_inputs_is_deleted(content: bytes, tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {"tokens": "aa"})
    (resume_folder(tmp_path / ADDRESS.work_folder) / "inputs.json").write_bytes(content)
    with store.writing(ADDRESS, {"tokens": "aa"}) as work:
        assert list(work.iterdir()) == []


def test_work_without_a_record_of_its_inputs_is_deleted(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {})
    (resume_folder(tmp_path / ADDRESS.work_folder) / "inputs.json").unlink()
    with store.writing(ADDRESS, {}) as work:
        assert list(work.iterdir()) == []


def test_the_order_of_inputs_does_not_matter_and_a_deleted_work_folder_is_created_again(
    tmp_path: Path,
) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {"tokens": "aa", "teacher": "bb"})
    with store.writing(ADDRESS, {"teacher": "bb", "tokens": "aa"}) as work:
        assert (work / "part.bin").read_bytes() == b"half"
    shutil.rmtree(work)
    with store.writing(ADDRESS, {"teacher": "bb", "tokens": "aa"}) as work:
        assert list(work.iterdir()) == []


def leave_old_work(folder: Path) -> None:
    prepare_work(folder / "work", {"tokens": "old"})
    (folder / "work" / "a").write_bytes(b"old")
    (folder / "work" / "b").write_bytes(b"old")


def prepare_new_work(folder: Path) -> None:
    prepare_work(folder / "work", {"tokens": "new"})


def test_a_kill_while_work_is_cleared_never_mixes_old_work_with_new_inputs(tmp_path: Path) -> None:
    folders = kill_at_each_operation(tmp_path, leave_old_work, prepare_new_work)
    assert len(folders) > 8
    resumed = []
    for folder in folders:
        prepare_work(folder / "work", {"tokens": "old"})
        resumed.append(tuple(sorted(path.name for path in (folder / "work").iterdir())))
    assert list(dict.fromkeys(resumed)) == [("a", "b"), ()], "all of it or nothing"
