"""One writer at a time, also over processes, and no lock outlives its holder."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")

HOLDER = """
import sys, time
from pathlib import Path
from pkd_core.store.stage_store import Address, StageStore
address = Address("artifacts", "RTE", "teacher", "0123456789abcdef")
with StageStore(Path(sys.argv[1])).writing(address, {}) as work:
    (work / "half").write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""

# Publishes unless somebody else has while it waited, and tells which.
WRITER = """
import sys, time
from pathlib import Path
from pkd_core.store.stage_store import Address, StageStatus, StageStore
store, address = StageStore(Path(sys.argv[1])), Address("artifacts", "RTE", "teacher", "0123456789abcdef")
with store.writing(address, {}) as work:
    if store.inspect(address).status is StageStatus.DONE:
        print("waited")
    else:
        (work / "model").write_text("model")
        time.sleep(0.3)
        store.publish(address, code_version=1, config={}, inputs={}, facts={})
        print("computed")
"""


def start(script: str, workspace: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(workspace)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = start(HOLDER, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_holder_frees_the_lock_at_once_and_leaves_its_work(
    tmp_path: Path, holder: "subprocess.Popen[str]", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    got: list[float] = []

    def wait_for_lock() -> None:
        with StageStore(tmp_path).writing(ADDRESS, {}) as work:
            got.append(time.monotonic())
            assert (work / "half").read_text(encoding="utf-8") == "half"

    waiter = threading.Thread(target=wait_for_lock)
    waiter.start()
    time.sleep(0.3)
    assert not got, "two writers at once"
    killed = time.monotonic()
    os.kill(holder.pid, signal.SIGKILL)
    waiter.join(timeout=10)
    assert got
    assert got[0] - killed < 2
    lines = [record.getMessage() for record in caplog.records if record.name == "pkd_core.store.lock"]
    assert len(lines) == 1, "one line, however long the wait"
    assert f"RTE teacher: waits for process {holder.pid} on " in lines[0]


def test_of_two_processes_at_one_address_one_computes_and_the_other_finds_it_done(tmp_path: Path) -> None:
    writers = [start(WRITER, tmp_path) for _ in range(2)]
    said = sorted(writer.communicate(timeout=30)[0].strip() for writer in writers)
    assert said == ["computed", "waited"]
    assert StageStore(tmp_path).inspect(ADDRESS, deep=True).status is StageStatus.DONE
    assert not (tmp_path / "artifacts/RTE/.aside").exists()


def test_two_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    store, inside, most = StageStore(tmp_path), [0], [0]

    def work() -> None:
        with store.writing(ADDRESS, {}):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert most == [1]


def test_another_address_does_not_wait(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    other = Address("artifacts", "RTE", "student", "0123456789abcdef")
    begin = time.monotonic()
    with StageStore(tmp_path).writing(other, {}):
        assert time.monotonic() - begin < 5
    assert holder.poll() is None


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"\xff", b'{"pid": 1}'])
def test_a_broken_note_of_the_holder_disturbs_nobody(
    tmp_path: Path, holder: "subprocess.Popen[str]", note: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "artifacts/RTE/.work/teacher-0123456789abcdef.holder").write_bytes(note)
    timer = threading.Timer(0.2, holder.kill)
    timer.start()
    with StageStore(tmp_path).writing(ADDRESS, {}):
        pass
    timer.join()
    assert "waits for another process" in caplog.text
