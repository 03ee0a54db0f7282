"""So many runs compute on a device at once as are to share it, and nobody keeps it who waits for something else."""

import functools
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.settings import RunOptions
from pkd_core.pipeline.build import build
from pkd_core.pipeline.local import log_progress
from pkd_core.pipeline.plan import make_plan
from pkd_core.store.stage_store import StageStatus, StageStore
from tasks.device import device_name, device_slot

CPU = torch.device("cpu")
COMPUTES = """
import sys, time
from pathlib import Path
import torch
from tasks.device import device_slot
root, share, number = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with device_slot(root, torch.device("cpu"), share, "test"):
    (root / f"computes-{number}").touch()
    time.sleep(120)
"""
Start = Callable[[int, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that, once it is its turn, keeps its place until it is killed."""
    processes = []

    def start_one(share: int, number: int) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, "-c", COMPUTES, str(tmp_path), str(share), str(number)])
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.wait()


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


@pytest.mark.parametrize("share", [1, 2])
def test_so_many_processes_compute_at_once_as_share_the_device_and_a_killed_one_makes_room(
    tmp_path: Path, start: Start, share: int
) -> None:
    def at_work() -> set[int]:
        return {int(path.name.removeprefix("computes-")) for path in tmp_path.glob("computes-*")}

    processes = {number: start(share, number) for number in range(share + 1)}
    assert wait_until(lambda: len(at_work()) == share)
    time.sleep(0.5)
    first = at_work()
    assert len(first) == share
    processes[min(first)].kill()
    assert wait_until(lambda: len(at_work()) == share + 1)


def test_threads_of_one_process_take_turns_however_many_runs_share_the_device(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def compute() -> None:
        with device_slot(tmp_path, CPU, 3, "test"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert most == [1]


def test_the_device_is_free_for_others_while_another_process_makes_the_stage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    run = build_run_config(tasks=["Tiny"], model=str(tmp_path / "model"), settings={"tokens.max_length": 16})
    plan = make_plan(run, tmp_path)
    stage = plan.stages[0].stage
    store, context = StageStore(tmp_path), plan.context(RunOptions(device="cpu"))
    turn = functools.partial(device_slot, tmp_path, CPU, 1, stage.key)
    builder = threading.Thread(target=build, args=[stage, {}, context, log_progress, turn], daemon=True)
    with store.locked(stage.address):
        builder.start()
        assert wait_until(lambda: "Tiny tokens: waits for process" in caplog.text)
        with device_slot(tmp_path, CPU, 1, "another stage"):
            assert builder.is_alive()
    builder.join(timeout=60)
    assert store.inspect(stage.address).status is StageStatus.DONE


def test_a_devices_name_is_a_plain_file_name_that_tells_machines_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a/b c.example")
    assert device_name(CPU) == device_name(torch.device("cpu:0")) == "a-b-c.example-cpu"
