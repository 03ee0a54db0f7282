"""Services are started, awaited and stopped with all their children, even those that ignore signals."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from flows.service.processes import Service, launch, require_free_port, stop, wait_until_ready
from pkd_core.errors import PkdError

WAITS = "import time; open('ready', 'w').close(); time.sleep(60)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS
# The child's own child writes its id, and ignores SIGTERM as well.
PARENT = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', '''import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    'open("grandchild.new", "w").write(str(os.getpid()))\n'
    'os.rename("grandchild.new", "grandchild")\n'
    "time.sleep(60)'''])\n"
    "time.sleep(60)"
)

Launch = Callable[[str, str], tuple[Service, subprocess.Popen[bytes]]]


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Launches a service that runs Python code in tmp_path and is ready once it has created a file there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.service.processes._SECONDS_TO_STOP", 0.5)
    processes = []

    def do(code: str, ready: str) -> tuple[Service, subprocess.Popen[bytes]]:
        service = Service(
            "Test Service", [sys.executable, "-c", code], (tmp_path / ready).exists, {"GIVEN": "yes"}
        )
        processes.append(launch(service, tmp_path / "logs"))
        return service, processes[-1]

    yield do
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_service_runs_in_a_group_of_its_own_with_its_output_in_a_log(
    launched: Launch, tmp_path: Path
) -> None:
    code = (
        "import os, sys; print(os.environ['GIVEN'], flush=True); print('oh', file=sys.stderr, flush=True)\n"
        + WAITS
    )
    service, process = launched(code, "ready")
    wait_until_ready(service, process, tmp_path / "logs", threading.Event())
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    assert (tmp_path / "logs" / "test-service.log").read_text(encoding="utf-8") == "yes\noh\n"


def test_a_log_is_appended_to(launched: Launch, tmp_path: Path) -> None:
    for _ in range(2):
        _, process = launched("print('begun')", "ready")
        assert process.wait() == 0
    assert (tmp_path / "logs" / "test-service.log").read_text(encoding="utf-8") == "begun\nbegun\n"


def test_a_service_that_ends_at_once_is_an_error_that_names_its_status_and_log(
    launched: Launch, tmp_path: Path
) -> None:
    service, process = launched("raise SystemExit(3)", "ready")
    with pytest.raises(
        PkdError, match=r"the Test Service ended with status 3; its log is .*/test-service\.log\.$"
    ):
        wait_until_ready(service, process, tmp_path / "logs", threading.Event())


def test_a_service_that_never_answers_is_an_error_that_names_the_time_limit(
    launched: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.service.processes.SECONDS_TO_START", 0.1)
    service, process = launched(WAITS, "never")
    with pytest.raises(PkdError, match=r"the Test Service did not answer within 0 s; its log is "):
        wait_until_ready(service, process, tmp_path / "logs", threading.Event())


def test_waiting_ends_when_a_stop_is_requested(launched: Launch, tmp_path: Path) -> None:
    service, process = launched(WAITS, "never")
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    begun = time.monotonic()
    wait_until_ready(service, process, tmp_path / "logs", stopped)
    assert time.monotonic() - begun < 5.0


def test_stop_ends_all_services_at_once_even_those_that_ignore_signals_and_their_children(
    launched: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs"
    parent = launched(PARENT, "grandchild")
    wait_until_ready(*parent, log, threading.Event())
    grandchild = int((tmp_path / "grandchild").read_text(encoding="utf-8"))
    ignoring = launched(IGNORES, "ready")
    wait_until_ready(*ignoring, log, threading.Event())
    (tmp_path / "ready").unlink()
    willing = launched(WAITS, "ready")
    wait_until_ready(*willing, log, threading.Event())
    assert is_alive(grandchild)
    sent: list[int] = []
    send = os.killpg

    def record(group: int, number: int) -> None:
        sent.append(number)
        send(group, number)

    monkeypatch.setattr(os, "killpg", record)

    stop(parent[1], ignoring[1], willing[1])

    # Every service gets SIGTERM before any is killed.
    assert [number for number in sent if number] == [signal.SIGTERM] * 3 + [signal.SIGKILL] * 2
    assert (ignoring[1].returncode, willing[1].returncode) == (-signal.SIGKILL, -signal.SIGTERM)
    assert parent[1].returncode == -signal.SIGTERM
    while is_alive(grandchild):
        time.sleep(0.01)


def test_stop_does_not_wait_for_what_has_ended(launched: Launch) -> None:
    _, process = launched("", "ready")
    process.wait()
    begun = time.monotonic()
    stop(process)
    stop()
    assert time.monotonic() - begun < 2.0


def test_a_taken_port_is_an_error_that_names_the_option() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(
            PkdError, match=rf"MLflow UI needs port {port}, which is taken; .* --mlflow-port\.$"
        ):
            require_free_port("MLflow UI", port, None)
        with pytest.raises(PkdError, match=r"--prefect-port\.$"):
            require_free_port("Prefect server", port, None)
    require_free_port("MLflow UI", port, None)


def test_a_port_with_connections_of_an_ended_server_is_free() -> None:
    """A server that was just stopped leaves connections in TIME_WAIT; the next may listen all the same."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = listener.accept()
            served.close()
            assert client.recv(1) == b""
    require_free_port("Prefect server", port, None)


def test_a_service_imports_our_modules_and_not_those_of_the_current_folder(
    launched: Launch, tmp_path: Path
) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    code = "import flows.service.answers, sys, time; open('ready', 'w').close(); time.sleep(60)"
    service, process = launched(code, "ready")
    wait_until_ready(service, process, tmp_path / "logs", threading.Event())
