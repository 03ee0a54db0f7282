"""A device computes for as many runs as it has slots, and a slot is released while its run waits for something else."""

import functools
import logging
import os
import signal
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
# Imports torch once, then starts a process for each line of its input.
COMPUTES = """
import logging, os, signal, sys, time
from pathlib import Path
import torch
from tasks.device import device_slot
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        with device_slot(Path(sys.argv[1]), torch.device("cpu"), 2, line.strip()):
            print(f"{line.strip()}: computes in process {os.getpid()}", flush=True)
            time.sleep(120)
"""


@pytest.fixture
def computing(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Starts a run for each name written to it, which computes in one of the device's two slots until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMPUTES, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def test_as_many_runs_compute_as_the_device_has_slots_and_a_killed_one_frees_its_slot(
    computing: "subprocess.Popen[str]",
) -> None:
    assert computing.stdin
    assert computing.stdout
    lines = []
    for name in ("first", "second", "third"):
        computing.stdin.write(f"{name}\n")
        computing.stdin.flush()
        lines.append(computing.stdout.readline().split())
    assert [line[:2] for line in lines] == [
        ["first:", "computes"],
        ["second:", "computes"],
        ["third:", "waits"],
    ]
    pids = [line[-1] for line in lines[:2]]
    assert [word for word in lines[2] if word in pids] == pids

    os.kill(int(pids[1]), signal.SIGKILL)

    assert computing.stdout.readline().startswith("third: computes")


def test_one_thread_of_a_process_computes_at_a_time_however_many_slots_the_device_has(tmp_path: Path) -> None:
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


def test_the_slot_is_released_while_waiting_for_another_process_to_build_the_stage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    run = build_run_config(tasks=["Tiny"], model=str(tmp_path / "model"), settings={"tokens.max_length": 16})
    plan = make_plan(run, tmp_path)
    stage = plan.stages[0].stage
    store, context = StageStore(tmp_path), plan.context(RunOptions(device="cpu"))
    slot = functools.partial(device_slot, tmp_path, CPU, 1, stage.key)
    builder = threading.Thread(target=build, args=[stage, {}, context, log_progress, slot], daemon=True)
    with store.locked(stage.address):
        builder.start()
        assert wait_until(lambda: "Tiny tokens: waits for process" in caplog.text)
        with device_slot(tmp_path, CPU, 1, "another stage"):
            assert builder.is_alive()
    builder.join(timeout=60)
    assert store.inspect(stage.address).status is StageStatus.DONE


def test_a_devices_name_is_a_plain_file_name_that_distinguishes_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a/b c.example")
    assert device_name(CPU) == device_name(torch.device("cpu:0")) == "a-b-c.example-cpu"
