"""Runs whose stages are computed by a real Ray on this machine: undisturbed, with a killed worker, and stopped."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import quick_arguments, write_tiny_task
from up_process import MARK, marked_processes, wait_for

from pkd_core.store.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Start = Callable[..., "subprocess.Popen[str]"]
STUDENT = "artifacts/Tiny/.work/finetune-*"


@pytest.fixture
def start(tmp_path: Path, tiny_model: Path) -> Iterator[Start]:
    """Starts `pkd run` on a tiny task with a long training in a folder, in a process group of its own."""
    started = []

    def do(root: Path, *options: str) -> "subprocess.Popen[str]":
        if not root.is_dir():
            write_tiny_task(root / "data_raw")
        words = ["--model", str(tiny_model), "--methods", "finetune", *options]
        environment = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
        environment |= {"PREFECT_API_URL": "http://127.0.0.1:9/api", MARK: str(tmp_path)}
        with (root / "run.txt").open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "run", "Tiny", *words, *_SETTINGS],
                cwd=root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield do
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_SETTINGS = quick_arguments(student__num_epochs=300)


def output(root: Path) -> str:
    return (root / "run.txt").read_text(encoding="utf-8")


def digests(root: Path) -> dict[str, str]:
    """Return the digest of each published stage whose result holds no measured time."""
    found = {
        path.parent.name: read_manifest(path.parent).digest for path in root.glob("*/Tiny/*/manifest.json")
    }
    return {
        name: digest for name, digest in found.items() if not name.startswith(("speed", "evaluation-fine"))
    }


def task_states(root: Path) -> dict[str, str]:
    """Return the last state of each task run that Prefect's server has recorded."""
    with sqlite3.connect(root / "artifacts" / "prefect" / "prefect.db") as database:
        return dict(database.execute("SELECT name, state_name FROM task_run ORDER BY created"))


def wait_for_checkpoint(process: "subprocess.Popen[str]", root: Path) -> None:
    def is_there() -> bool:
        assert process.poll() is None, output(root)
        return bool(list(root.glob(f"{STUDENT}/checkpoint/state.json")))

    wait_for(is_there, 480, "the student's first checkpoint")


def test_a_run_by_ray_has_the_results_of_one_in_threads_though_a_worker_is_killed(
    start: Start, tmp_path: Path
) -> None:
    by_ray, in_threads = tmp_path / "ray", tmp_path / "threads"
    process = start(by_ray, "--placement", "ray")
    wait_for_checkpoint(process, by_ray)
    (holder,) = by_ray.glob(f"{STUDENT}.holder")
    worker = json.loads(holder.read_text(encoding="utf-8"))["pid"]
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    assert process.wait(timeout=800) == 0, output(by_ray)
    assert "Tiny/finetune-2l-s42: its worker process died; it goes on in another" in output(by_ray)
    assert "loss" in output(by_ray) and "Tiny/finetune-2l-s42: done in" in output(by_ray)
    wait_for(lambda: not marked_processes(str(tmp_path)), 20, "the end of all that the run started")
    assert set(task_states(by_ray).values()) == {"Completed"}

    assert start(in_threads).wait(timeout=800) == 0
    assert digests(by_ray) == digests(in_threads)
    assert len(digests(by_ray)) == 4


def test_ctrl_c_stops_the_stages_of_workers_with_a_checkpoint_and_the_same_command_goes_on(
    start: Start, tmp_path: Path
) -> None:
    root = tmp_path / "stopped"
    process = start(root, "--placement", "ray")
    wait_for_checkpoint(process, root)
    (state,) = root.glob(f"{STUDENT}/checkpoint/state.json")
    before = state.read_bytes()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 128 + signal.SIGINT, output(root)
    assert state.read_bytes() != before, "it was stopped without a new checkpoint"
    assert "pkd: stopped; what is done stays done" in output(root)
    wait_for(lambda: not marked_processes(str(tmp_path)), 20, "the end of all that the run started")
    assert task_states(root)["Tiny/finetune-2l-s42"] == "Failed"

    assert start(root, "--placement", "ray").wait(timeout=800) == 0, output(root)
    assert task_states(root)["Tiny/finetune-2l-s42"] == "Completed"
