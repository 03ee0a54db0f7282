"""The work folder of an interrupted stage."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pkd_core.store.address import Address
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import prepare_work

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
    (tmp_path / ADDRESS.work_folder).with_name(f"{ADDRESS.name}.inputs").write_bytes(content)
    with store.writing(ADDRESS, {"tokens": "aa"}) as work:
        assert list(work.iterdir()) == []


def test_work_without_a_record_of_its_inputs_is_deleted(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {})
    (tmp_path / ADDRESS.work_folder).with_name(f"{ADDRESS.name}.inputs").unlink()
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


# Clears the work of another writer, in one child after another; each is killed one file operation later.
KILLED_PREPARATIONS = """
import os, signal, sys
from pathlib import Path
from pkd_core.store.work_folder import prepare_work

def die_at(operation):
    left = [operation]
    def hook(event, arguments):
        if event in ("open", "os.rename", "os.mkdir", "os.scandir", "os.remove", "os.rmdir"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

operation, killed = 0, True
while killed:
    operation += 1
    work = Path(sys.argv[1]) / str(operation) / "work"
    work.parent.mkdir()
    prepare_work(work, {"tokens": "old"})
    (work / "a").write_text("old")
    (work / "b").write_text("old")
    if os.fork() == 0:
        die_at(operation)
        prepare_work(work, {"tokens": "new"})
        os._exit(0)
    killed = os.wait()[1] != 0
"""


def test_a_kill_while_work_is_cleared_never_mixes_old_work_with_new_inputs(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_PREPARATIONS, str(tmp_path)], check=True)
    workspaces = list(tmp_path.iterdir())
    assert len(workspaces) > 8
    kept = []
    for workspace in workspaces:
        prepare_work(workspace / "work", {"tokens": "old"})
        kept.append(sorted(path.name for path in (workspace / "work").iterdir()))
        assert kept[-1] in ([], ["a", "b"])
    assert ["a", "b"] in kept
