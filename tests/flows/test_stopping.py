"""Ctrl-C ends `pkd run` at once, with all it started; after that, or after a crash, the next run goes on from there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import write_tiny_task

from tasks.mlflow_store import ensure_store

QUICK = ["teacher.num_epochs=1", "tokens.max_length=16", "evaluation.speed_repeats=1"]


Start = Callable[[int], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, tiny_model: Path) -> Iterator[Start]:
    """Starts `pkd run` on a tiny task, with so many epochs for its student, in a process group of its own."""
    write_tiny_task(tmp_path / "data_raw")
    started = []

    def do(num_epochs: int) -> subprocess.Popen[str]:
        words = ["--methods", "finetune", f"student.num_epochs={num_epochs}", *QUICK]
        environment = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
        with (tmp_path / "run.txt").open("w", encoding="utf-8") as said:
            process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("pkd")),
                    "run",
                    "Tiny",
                    "--model",
                    str(tiny_model),
                    *words,
                ],
                cwd=tmp_path,
                env=environment,
                stdout=said,
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


def wait_for_training(process: subprocess.Popen[str], root: Path) -> None:
    deadline = time.monotonic() + 180
    while not list(root.glob("artifacts/Tiny/.work/finetune-*.holder")):
        assert process.poll() is None, (root / "run.txt").read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.2)


def processes_of_group(group: int) -> list[str]:
    """Return the command of every living process of a group."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "send", [os.killpg, os.kill], ids=["to the terminal's group", "to the process alone"]
)
def test_ctrl_c_in_a_training_ends_all_and_the_next_run_goes_on(
    send: Callable[[int, int], None], start: Start, tmp_path: Path
) -> None:
    process = start(5000)
    wait_for_training(process, tmp_path)
    send(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 128 + signal.SIGINT
    assert processes_of_group(process.pid) == []
    said = (tmp_path / "run.txt").read_text(encoding="utf-8")
    assert "pkd: stopped; " in said
    assert "Traceback" not in said
    assert "Warning" not in said
    assert_the_next_run_goes_on(start, tmp_path)


@pytest.mark.slow
def test_a_killed_run_keeps_nothing_locked(start: Start, tmp_path: Path) -> None:
    process = start(5000)
    wait_for_training(process, tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert_the_next_run_goes_on(start, tmp_path)


def assert_the_next_run_goes_on(start: Start, root: Path) -> None:
    assert start(1).wait(timeout=180) == 0
    store = ensure_store(root)
    runs = store.client.search_runs([store.experiment_id])
    assert {"tiny/teacher", "tiny/finetune-2l-s42", "report/tiny"} <= {run.info.run_name for run in runs}
