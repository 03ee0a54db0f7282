"""What is left of a `pkd up` that was killed, or of which one service died."""

import os
import re
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import write_tiny_task
from up_process import BIN, start, wait_for

pytestmark = pytest.mark.slow


def test_a_killed_up_leaves_nothing_and_what_a_supervisor_could_not_end_is_named(
    tmp_path: Path, tiny_model: Path
) -> None:
    write_tiny_task(tmp_path / "data_raw", "TinyA")
    up = start(tmp_path, ["TinyA", "--model", str(tiny_model)])
    again = None
    try:
        wait_for(lambda: "Ctrl-C stops all three" in up.output, 180, "`pkd up`'s welcome")
        login = up.login
        (supervisor,) = (
            pid
            for pid, command in up.processes().items()
            if " flows.service.supervisor " in command and " -m mlflow " in command
        )
        os.kill(supervisor, signal.SIGSTOP)
        up.process.kill()
        up.process.wait()
        wait_for(lambda: not is_taken(up.prefect_port), 30, "the free port of Prefect's server")
        assert is_taken(up.mlflow_port)
        os.kill(supervisor, signal.SIGKILL)
        ports = ["--prefect-port", str(up.prefect_port), "--mlflow-port", str(up.mlflow_port)]
        refused = subprocess.run(
            [str(BIN / "pkd"), "up", "TinyA", "--model", str(tiny_model), *ports],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert refused.returncode == 2
        (command,) = re.findall(
            r"which is taken by what an earlier `pkd up` left \(process \d+, since .+: .+ -m mlflow server .+\); "
            r"end it with: (.+), or give --mlflow-port\.",
            refused.stderr,
        )
        subprocess.run(["sh", "-c", command], check=True)
        wait_for(lambda: up.processes() == {}, 30, "the end of every process")
        again = start(tmp_path, ["TinyA", "--model", str(tiny_model)])
        wait_for(lambda: "the MLflow UI is up" in again.output, 180, "the next `pkd up`")
        assert again.login == login
        assert login not in again.output
    finally:
        for one in filter(None, (up, again)):
            for pid in one.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            one.process.wait()


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_service_that_dies_ends_the_others_and_is_named(tmp_path: Path, tiny_model: Path) -> None:
    write_tiny_task(tmp_path / "data_raw", "TinyA")
    up = start(tmp_path, ["TinyA", "--model", str(tiny_model)])
    try:
        wait_for(lambda: "Ctrl-C stops all three" in up.output, 180, "`pkd up`'s welcome")
        (mlflow,) = (pid for pid, command in up.processes().items() if re.match(r"\S+ -m mlflow ", command))
        os.kill(mlflow, signal.SIGKILL)
        assert up.process.wait(timeout=60) == 2
        assert re.search(r"^pkd: the MLflow UI ended with status -9; its log is .+$", up.output, re.MULTILINE)
        assert up.processes() == {}
    finally:
        for pid in up.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        up.process.wait()
