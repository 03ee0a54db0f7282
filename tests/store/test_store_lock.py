"""One holder at a time over threads and processes, and no lock outlives its holder."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pkd_core.errors import HeldError, StoreError
from pkd_core.store import lock
from pkd_core.store.lock import hold, is_locked
from pkd_core.store.stage_store import Address, StageStatus, StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")
Process = subprocess.Popen[str]

# Publishes unless another process has done so meanwhile; goes on at each line that it reads.
WRITER = """
import logging, sys
from pathlib import Path
from pkd_core.store.stage_store import Address, StageStatus, StageStore
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
store, address = StageStore(Path(sys.argv[1])), Address("artifacts", "RTE", "teacher", "0123456789abcdef")
with store.writing(address, {}) as work:
    if store.inspect(address).status is StageStatus.DONE:
        print("already done")
    else:
        (work / "model").write_text("model")
        print("writing", flush=True)
        sys.stdin.readline()
        store.publish(address, code_version=1, config={}, inputs={}, facts={})
        print("published")
"""


@pytest.fixture
def start() -> Iterator[Callable[[Path], Process]]:
    """Start a writer in another process."""
    processes: list[Process] = []

    def start_writer(workspace: Path) -> Process:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        processes.append(subprocess.Popen([sys.executable, "-c", WRITER, str(workspace)], text=True, **pipes))
        return processes[-1]

    yield start_writer
    for process in processes:
        process.kill()
        process.communicate()


def read_line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


class Waiting(logging.Handler):
    """Sets an event at the log line of a thread that waits for a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.has_begun = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.has_begun.set()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    handler, level = Waiting(), lock.logger.level
    lock.logger.addHandler(handler)
    lock.logger.setLevel(logging.INFO)
    yield handler
    lock.logger.removeHandler(handler)
    lock.logger.setLevel(level)


def test_a_killed_holder_frees_the_lock_and_leaves_its_work(
    tmp_path: Path, start: Callable[[Path], Process], waiting: Waiting
) -> None:
    holder = start(tmp_path)
    assert read_line(holder) == "writing"
    lock_file = tmp_path / ADDRESS.work_folder.parent / "teacher-0123456789abcdef.lock"
    assert is_locked(lock_file)
    resumed = threading.Event()

    def wait_for_lock() -> None:
        with StageStore(tmp_path).writing(ADDRESS, {}) as work:
            assert (work / "model").read_text(encoding="utf-8") == "model"
            resumed.set()

    waiter = threading.Thread(target=wait_for_lock)
    waiter.start()
    assert waiting.has_begun.wait(10)
    assert not resumed.is_set(), "two writers at once"
    os.kill(holder.pid, signal.SIGKILL)
    assert resumed.wait(10)
    waiter.join()
    assert not is_locked(lock_file)
    assert waiting.messages[0].startswith(f"RTE teacher: waits for process {holder.pid} on ")


def test_of_two_processes_at_one_address_one_builds_and_the_other_finds_it_done(
    tmp_path: Path, start: Callable[[Path], Process]
) -> None:
    first, second = start(tmp_path), start(tmp_path)
    lines = [read_line(first), read_line(second)]
    if lines[1] == "writing":
        first, second, lines = second, first, lines[::-1]
    assert lines[0] == "writing"
    assert lines[1].startswith("RTE teacher: waits for ")
    assert first.communicate("go on\n", timeout=30)[0] == "published\n"
    assert second.communicate(timeout=30)[0] == "already done\n"
    assert StageStore(tmp_path).inspect(ADDRESS, deep=True).status is StageStatus.DONE
    assert not (tmp_path / ADDRESS.backup_folder).exists()


def in_another_thread(call: Callable[[], object]) -> object:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except HeldError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return results[0]


def holder_of(lock_file: Path) -> str:
    """Return how a message names this process, which holds a lock since the second in its holder file."""
    since = json.loads(lock_file.with_suffix(".holder").read_bytes())["since"]
    age = datetime.now(UTC) - datetime.strptime(since, "%Y-%m-%dT%H:%M:%S%z")
    assert timedelta() <= age < timedelta(minutes=1)
    return f"process {os.getpid()} on {socket.gethostname()} (since {since})"


def hold_now(lock_file: Path) -> str:
    """Hold the lock without waiting, and return what is beside it meanwhile."""
    with hold(lock_file, "RTE teacher", wait=False):
        return " ".join(sorted(path.name for path in lock_file.parent.iterdir()))


def test_two_threads_of_a_process_exclude_each_other(tmp_path: Path) -> None:
    lock_file = tmp_path / "x.lock"
    with hold(lock_file, "RTE teacher"):
        assert in_another_thread(lambda: is_locked(lock_file)) is True
        error = in_another_thread(lambda: hold_now(lock_file))
        assert str(error) == (
            f"RTE teacher needs a lock that {holder_of(lock_file)} holds; run again when that one has ended."
        )
    assert in_another_thread(lambda: is_locked(lock_file)) is False
    assert in_another_thread(lambda: hold_now(lock_file)) == "x.holder x.lock"


def test_a_lock_is_free_after_the_body_or_its_error_and_the_holder_file_gone(tmp_path: Path) -> None:
    with hold(tmp_path / "x.lock", "RTE teacher"):
        pass
    assert not is_locked(tmp_path / "x.lock")
    with pytest.raises(KeyError), hold(tmp_path / "x.lock", "RTE teacher"):
        raise KeyError
    assert not is_locked(tmp_path / "x.lock")
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_looking_at_a_lock_creates_no_file(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "x.lock")
    assert not is_locked(tmp_path / "absent" / "x.lock")
    assert list(tmp_path.iterdir()) == []


def take(folder: Path) -> None:
    with hold(folder / "x.lock", "RTE teacher"):
        pass


def test_a_long_wait_is_logged_once(
    tmp_path: Path, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_tries, has_tried_often = [0], threading.Event()

    def count_tries(seconds: float) -> None:
        assert 0 < seconds < 1, "the waiting thread neither spins nor reacts late"
        num_tries[0] += waiting.has_begun.is_set()
        if num_tries[0] == 5:
            has_tried_often.set()
        has_tried_often.wait(0.001)

    monkeypatch.setattr(lock.time, "sleep", count_tries)

    with hold(tmp_path / "x.lock", "RTE teacher"):
        waiter = threading.Thread(target=take, args=[tmp_path])
        waiter.start()
        assert has_tried_often.wait(10)
    waiter.join(10)
    assert not waiter.is_alive()
    assert len(waiting.messages) == 1


def test_a_short_wait_is_not_logged(
    tmp_path: Path, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_tried, sleep = threading.Event(), time.sleep
    monkeypatch.setattr(lock, "_SECONDS_BEFORE_LOG", 60.0)

    monkeypatch.setattr(lock.time, "sleep", lambda seconds: (has_tried.set(), sleep(seconds)))

    with hold(tmp_path / "x.lock", "RTE teacher"):
        waiter = threading.Thread(target=take, args=[tmp_path])
        waiter.start()
        assert has_tried.wait(10)
    waiter.join(10)
    assert not waiter.is_alive()
    assert waiting.messages == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"pid": 1}', None])
def test_a_malformed_holder_file_does_not_disturb(content: bytes | None, tmp_path: Path) -> None:
    holder_file = tmp_path / "x.holder"
    with hold(tmp_path / "x.lock", "RTE teacher"):
        holder_file.unlink()
        if content is not None:
            holder_file.write_bytes(content)
        error = in_another_thread(lambda: hold_now(tmp_path / "x.lock"))
        assert str(error).startswith("RTE teacher needs a lock that another process holds")
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_a_lock_is_held_where_its_holder_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "x.holder").mkdir()
    with hold(tmp_path / "x.lock", "RTE teacher"):
        assert is_locked(tmp_path / "x.lock")
    assert not is_locked(tmp_path / "x.lock")


def test_a_lock_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    expected = r"needs to lock .*file/x\.lock, but the system answers"
    with pytest.raises(StoreError, match=expected), hold(tmp_path / "file" / "x.lock", "RTE teacher"):
        raise AssertionError("the body must not run")
    (tmp_path / "x.lock").mkdir()
    with pytest.raises(StoreError, match=r"needs to lock .*x\.lock, but the system answers 'Is a directory'"):
        is_locked(tmp_path / "x.lock")


def test_a_stage_that_is_locked_is_waited_for_by_default(tmp_path: Path, waiting: Waiting) -> None:
    store, entered = StageStore(tmp_path), threading.Event()

    def lock_stage() -> None:
        with store.locked(ADDRESS):
            entered.set()

    with store.locked(ADDRESS):
        waiter = threading.Thread(target=lock_stage)
        waiter.start()
        assert waiting.has_begun.wait(10)
        assert not entered.is_set()
    waiter.join(10)
    assert entered.is_set()


def test_a_stage_that_is_written_is_held_against_those_that_do_not_wait(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    other = Address("artifacts", "RTE", "student", "0123456789abcdef")
    with store.locked(ADDRESS):
        for hold in (store.locked(ADDRESS, wait=False), store.writing(ADDRESS, {}, wait=False)):
            with pytest.raises(HeldError, match=r"^RTE teacher needs a lock"), hold:
                raise AssertionError("the body must not run")
        with store.writing(other, {}, wait=False) as work:
            assert work.is_dir(), "another address is free"
