"""A signal ends `pkd run` with all it started; after that, or after a crash, the same command goes on from there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow.entities import Run
from tiny import quick_arguments, write_tiny_task

from tasks.mlflow_store import Store, ensure_store

Start = Callable[[int], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, tiny_model: Path) -> Iterator[Start]:
    """Starts `pkd run` on a tiny task, with so many epochs for its student, in a process group of its own."""
    write_tiny_task(tmp_path / "data_raw")
    started = []

    def do(num_epochs: int) -> subprocess.Popen[str]:
        words = ["--methods", "finetune", *quick_arguments(student__num_epochs=num_epochs)]
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


def wait_for_training(process: subprocess.Popen[str], root: Path, at: str = "*.holder") -> None:
    """Wait until the student's training has written a file: the note of its holder, or its first checkpoint."""
    deadline = time.monotonic() + 180
    while not list(root.glob(f"artifacts/Tiny/.work/finetune-{at}")):
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
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "send", [os.killpg, os.kill], ids=["to the terminal's group", "to the process alone"]
)
def test_a_signal_in_a_training_ends_it_at_its_next_step_and_the_same_command_goes_on(
    send: Callable[[int, int], None], number: int, start: Start, tmp_path: Path
) -> None:
    process = start(300)
    wait_for_training(process, tmp_path, at="*/checkpoint/state.json")
    send(process.pid, number)
    assert process.wait(timeout=30) == 128 + number
    assert processes_of_group(process.pid) == []
    said = (tmp_path / "run.txt").read_text(encoding="utf-8")
    assert "pkd: stopping at the next step" in said
    assert "pkd: stopped; what is done stays done, and the same command goes on from there.\n" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    store = ensure_store(tmp_path)
    assert student_runs(store)[0].info.status == "FAILED"

    again = start(300)
    assert again.wait(timeout=300) == 0
    assert "going on from step" in (tmp_path / "run.txt").read_text(encoding="utf-8")
    (run,) = student_runs(store)
    assert run.info.status == "FINISHED"
    steps = [metric.step for metric in store.client.get_metric_history(run.info.run_id, "train/total")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) % 300 == 0


def student_runs(store: Store) -> list[Run]:
    runs = store.client.search_runs([store.experiment_id])
    return [run for run in runs if run.info.run_name == "tiny/finetune-2l-s42"]


@pytest.mark.slow
def test_a_second_signal_ends_at_once(start: Start, tmp_path: Path) -> None:
    process = start(5000)
    wait_for_training(process, tmp_path)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 128 + signal.SIGINT
    assert processes_of_group(process.pid) == []
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
