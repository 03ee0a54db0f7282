"""A publishing process may die at any point: a part of a stage is never visible."""

import subprocess
import sys
from pathlib import Path

from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")

# Publishes over an old copy, in one child after another; each is killed one file operation later.
KILLED_PUBLISHERS = """
import os, signal, sys
from pathlib import Path
from pkd_core.store.stage_store import Address, StageStore

address = Address("artifacts", "RTE", "teacher", "0123456789abcdef")

def publish(workspace, text):
    store = StageStore(workspace)
    with store.writing(address, {}) as work:
        (work / "nested").mkdir(exist_ok=True)
        (work / "nested" / "file").write_text(text)
        (work / "other").write_text(text)
        store.publish(address, code_version=1, config={}, inputs={}, facts={})

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
    workspace = Path(sys.argv[1]) / str(operation)
    publish(workspace, "old")
    if os.fork() == 0:
        die_at(operation)
        publish(workspace, "new")
        os._exit(0)
    killed = os.wait()[1] != 0
"""


def test_a_publisher_killed_at_any_operation_leaves_the_old_copy_or_none_or_the_new(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_PUBLISHERS, str(tmp_path)], check=True)
    seen = set()
    for workspace in tmp_path.iterdir():
        store = StageStore(workspace)
        status = store.inspect(ADDRESS, deep=True).status
        file = workspace / ADDRESS.folder / "nested/file"
        text = file.read_text(encoding="utf-8") if status is StageStatus.DONE else ""
        seen.add((status, text))
        if text != "new":
            with store.writing(ADDRESS, {}) as work:
                (work / "again").write_bytes(b"")
                store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
            assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE
        kept = [
            copy.read_text(encoding="utf-8") for copy in (workspace / "artifacts/RTE/.aside").rglob("file")
        ]
        assert kept == ["old"], "the old copy is never lost"
    assert seen == {(StageStatus.DONE, "old"), (StageStatus.MISSING, ""), (StageStatus.DONE, "new")}
    assert len(list(tmp_path.iterdir())) > 15
