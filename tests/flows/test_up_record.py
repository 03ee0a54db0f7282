"""A port that an earlier `pkd up` holds is named with its process and the command that ends it, and no other is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from flows.service.processes import require_free_port
from flows.service.up_record import read_record, remove_record, write_record
from pkd_core.errors import PkdError

LISTENS = (
    "import socket, time; listener = socket.create_server(('127.0.0.1', 0)); "
    "print(listener.getsockname()[1], flush=True); time.sleep(60)"
)
API = "http://127.0.0.1:4200/api"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "artifacts").mkdir()
    return tmp_path


@pytest.fixture
def left() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that listens, in a group of its own, and its port."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        yield process, int(process.stdout.readline())
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def change(workspace: Path, **values: object) -> None:
    path = workspace / "artifacts" / "up.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def record(workspace: Path, process: "subprocess.Popen[str]", port: int) -> None:
    """Write down that the process is a service of this one."""
    command = f"{sys.executable} -c {LISTENS}"
    write_record(workspace, API, {process.pid: f"supervisor {command}"}, {port: process.pid})


def refusal(workspace: Path, port: int) -> str:
    with pytest.raises(PkdError) as refused:
        require_free_port("MLflow UI", port, read_record(workspace))
    return str(refused.value)


def test_a_running_up_is_named_with_the_command_that_ends_it(
    workspace: Path, left: tuple["subprocess.Popen[str]", int]
) -> None:
    process, port = left
    record(workspace, process, port)
    pid = os.getpid()
    found = read_record(workspace)
    assert found and found.is_running() and found.prefect_api == API
    assert f"is taken by `pkd up` (process {pid}, since " in refusal(workspace, port)
    assert refusal(workspace, port).endswith(f"end it with: kill {pid}, or give --mlflow-port.")


def test_what_a_killed_up_left_is_named_and_the_command_ends_it(
    workspace: Path, left: tuple["subprocess.Popen[str]", int]
) -> None:
    process, port = left
    record(workspace, process, port)
    change(workspace, command="an ended pkd up")
    found = read_record(workspace)
    assert found and not found.is_running()
    message = refusal(workspace, port)
    assert f"by what an earlier `pkd up` left (process {process.pid}, since " in message
    command = message.partition("end it with: ")[2].removesuffix(", or give --mlflow-port.")
    assert command == f"kill -- -{process.pid}"
    subprocess.run(["sh", "-c", command], check=True)
    assert process.wait(timeout=20) == -signal.SIGTERM
    require_free_port("MLflow UI", port, read_record(workspace))


def test_a_process_that_got_the_id_of_an_ended_one_is_not_named(
    workspace: Path, left: tuple["subprocess.Popen[str]", int]
) -> None:
    process, port = left
    write_record(workspace, API, {process.pid: "python -m mlflow server"}, {port: process.pid})
    change(workspace, command="an ended pkd up")
    assert refusal(workspace, port).endswith("which is taken; stop what uses it, or give --mlflow-port.")


def test_a_record_is_removed_by_its_own_process_alone_and_rubbish_is_none(workspace: Path) -> None:
    assert read_record(workspace) is None
    write_record(workspace, API, {}, {})
    change(workspace, pid=1)
    remove_record(workspace)
    assert read_record(workspace) is not None
    change(workspace, pid=os.getpid())
    remove_record(workspace)
    assert read_record(workspace) is None
    for rubbish in ("[", "[]", '{"pid": 1}'):
        (workspace / "artifacts" / "up.json").write_text(rubbish, encoding="utf-8")
        assert read_record(workspace) is None
