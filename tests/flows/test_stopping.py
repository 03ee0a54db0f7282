"""A signal ends `pkd run` and all that it started; after that, or after a kill, the same command continues."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow.entities import Run
from tiny import quick_arguments, write_tiny_task
from up_process import MARK, marked_processes, wait_for

from flows.stopping import ending_at_signals, received_signal, redeliver, stopping_at_signals
from pkd_core.runtime.cancellation import StoppedError, check_stop_requested
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
        # Tests before this one may use a server that this one would find.
        environment |= {"PREFECT_API_URL": "http://127.0.0.1:9/api", MARK: str(tmp_path)}
        with (tmp_path / "run.txt").open("w", encoding="utf-8") as output:
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


def wait_for_training(process: subprocess.Popen[str], root: Path, at: str = "*.holder") -> None:
    """Wait until the student's training has written a file: who holds its lock, or its first checkpoint."""
    deadline = time.monotonic() + 180
    while not list(root.glob(f"artifacts/Tiny/.work/finetune-{at}")):
        assert process.poll() is None, (root / "run.txt").read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_for_the_end_of_all(root: Path) -> None:
    """Wait until no process of a run in this folder is left: its server ends some moments after it."""
    wait_for(lambda: not marked_processes(str(root)), 20, "the end of the run's processes")


STOPPABLE = """
import logging, sys, time
from flows import stopping
from flows.stopping import ending_at_signals, received_signal, report_stopped, stopping_at_signals
from pkd_core.runtime.cancellation import StoppedError, check_stop_requested

def wait_at(moment):
    print(moment, flush=True)
    time.sleep(60)

stopping._SECONDS_TO_RECORD = 0.2
kind = sys.argv[1]
with ending_at_signals():
    if kind == "before the flow":
        wait_at("ready")
    with stopping_at_signals():
        try:
            print("ready", flush=True)
            while kind == "steps" or kind == "no server":
                time.sleep(0.01)
                check_stop_requested("Tiny/teacher")
            while kind == "a long step":
                time.sleep(60)
        except StoppedError:
            print("checkpoint", flush=True)
            logging.error("each stage that did not begin")
    if kind == "no server":
        wait_at("recording")
status = report_stopped(received_signal())
time.sleep(2 * stopping._SECONDS_TO_RECORD)
sys.exit(status)
"""
STOPPING = "pkd: stopping at the next step; again to end at once."
STOPPED = "pkd: stopped; what is done stays done, and the same command continues from there."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("kind", "num_signals", "printed"),
    [
        ("steps", 1, ["ready", "", STOPPING, "checkpoint", STOPPED]),
        ("no server", 1, ["ready", "", STOPPING, "checkpoint", "recording", STOPPED]),
        ("a long step", 2, ["ready", "", STOPPING, STOPPED]),
        ("before the flow", 1, ["ready", STOPPED]),
    ],
)
def test_the_first_signal_stops_at_the_next_step_and_the_second_at_once(
    kind: str, num_signals: int, printed: list[str], number: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPPABLE, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        lines = [process.stdout.readline()]
        for _ in range(num_signals):
            process.send_signal(number)
            if kind != "before the flow":
                lines += [process.stdout.readline(), process.stdout.readline()]
        # Not communicate: it misses what readline has read beyond its line.
        rest = process.stdout.read()
        process.wait(timeout=30)
    assert ("".join(lines) + rest).splitlines() == printed
    assert process.returncode == 128 + number


def test_a_deployments_flow_stops_and_leaves_the_signal_to_prefect(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    by_prefect: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: by_prefect.append(number))
    try:
        with stopping_at_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(StoppedError):
                check_stop_requested("Tiny/teacher")
            logging.getLogger("prefect").error("a line for the deployment's log")
        check_stop_requested("Tiny/teacher")
        assert by_prefect == []
        assert received_signal() == signal.SIGTERM
        redeliver(signal.SIGTERM)
        assert by_prefect == [signal.SIGTERM]
        with stopping_at_signals():
            assert received_signal() is None
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == f"\n{STOPPING}\n"
    assert "a line for the deployment's log" in caplog.text


def test_a_signal_that_stopped_a_command_is_not_delivered_again() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with ending_at_signals():
            redeliver(signal.SIGTERM)
        redeliver(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


WAITS_FOR_A_SERVER = """
from pathlib import Path
from flows.service import find_server
from flows.stopping import ending_at_signals
find_server._SECONDS = 60
print("waits", flush=True)
with ending_at_signals():
    find_server.find_server(Path())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_server_that_hangs(number: int, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen(
            [sys.executable, "-c", WAITS_FOR_A_SERVER],
            cwd=tmp_path,
            env=os.environ | {"PREFECT_API_URL": f"http://127.0.0.1:{listener.getsockname()[1]}/api"},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        connection, _ = listener.accept()
        assert connection.recv(1000)

        def has_ended() -> bool:
            # CPython handles a signal that comes just before it waits only after it has waited.
            process.send_signal(number)
            return process.poll() is not None

        wait_for(has_ended, 20, "the end of the process")
        _, printed = process.communicate()
        connection.close()
    assert process.returncode == 128 + number
    assert printed.startswith("pkd: stopped; ") and printed.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "send", [os.killpg, os.kill], ids=["to the terminal's group", "to the process alone"]
)
def test_a_signal_ends_a_training_at_its_next_step_and_the_same_command_continues_it(
    send: Callable[[int, int], None], number: int, start: Start, tmp_path: Path
) -> None:
    process = start(300)
    wait_for_training(process, tmp_path, at="*/checkpoint/state.json")
    send(process.pid, number)
    assert process.wait(timeout=30) == 128 + number
    wait_for_the_end_of_all(tmp_path)
    output = (tmp_path / "run.txt").read_text(encoding="utf-8")
    assert output.partition("\npkd: stopping")[2].splitlines() == [
        STOPPING.removeprefix("pkd: stopping"),
        STOPPED,
    ]
    assert "Traceback" not in output
    assert "Warning" not in output
    store = ensure_store(tmp_path)
    assert student_runs(store)[0].info.status == "FAILED"

    again = start(300)
    assert again.wait(timeout=300) == 0
    assert "resuming from step" in (tmp_path / "run.txt").read_text(encoding="utf-8")
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
    wait_for_the_end_of_all(tmp_path)
    assert_the_next_run_continues(start, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "send", [os.killpg, os.kill], ids=["its terminal's whole group", "the process alone"]
)
def test_a_killed_run_keeps_nothing_locked_and_leaves_no_server(
    send: Callable[[int, int], None], start: Start, tmp_path: Path
) -> None:
    process = start(5000)
    wait_for_training(process, tmp_path)
    send(process.pid, signal.SIGKILL)
    process.wait()
    wait_for_the_end_of_all(tmp_path)
    assert_the_next_run_continues(start, tmp_path)


def assert_the_next_run_continues(start: Start, root: Path) -> None:
    assert start(1).wait(timeout=180) == 0
    store = ensure_store(root)
    runs = store.client.search_runs([store.experiment_id])
    assert {"tiny/teacher", "tiny/finetune-2l-s42", "report/tiny"} <= {run.info.run_name for run in runs}
