"""One server at a time starts on a Prefect database: from its launch until it answers, no other is launched."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from up_process import BIN

from flows.request import Request
from flows.service.mlflow_backend import Backend
from flows.service.own_server import own_server
from flows.service.processes import Service
from flows.service.up import Wanted, serve_until_stopped
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import PkdError
from pkd_core.store.lock import hold, is_locked

SLEEPS, ENDS = "import time; time.sleep(60)", "raise SystemExit(3)"


class Server:
    """Stands for a server: each time it is asked whether it is ready, it notes whether the lock is held."""

    def __init__(self, lock: Path, code: str = SLEEPS, ready_at: int = 2) -> None:
        self.lock = lock
        self.ready_at = ready_at
        self.locked: list[bool] = []
        self.service = Service("Test Server", [sys.executable, "-c", code], self.is_ready, {})

    def is_ready(self) -> bool:
        self.locked.append(is_locked(self.lock))
        return len(self.locked) >= self.ready_at


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The lock of a new Prefect home; a run's own servers stop after the test."""
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("atexit.register", lambda call, *given: at_exit.append(partial(call, *given)))
    yield tmp_path / "home" / "starting.lock"
    for call in at_exit:
        call()


def use(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.service.own_server.temporary_prefect_service", lambda *_: server.service)


def test_the_lock_is_held_from_the_launch_until_the_server_answers(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, meanwhile = Server(lock), []
    use(server, monkeypatch)
    with own_server(tmp_path / "logs", lambda: meanwhile.append(is_locked(lock))):
        assert not is_locked(lock)
    assert (meanwhile, server.locked) == ([True], [True, True])


def test_a_server_that_does_not_start_leaves_the_lock_to_the_next(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Server(lock, ENDS, ready_at=10_000), monkeypatch)
    with pytest.raises(PkdError, match="ended with status 3"), own_server(tmp_path / "logs"):
        pass
    assert lock.exists()
    assert not is_locked(lock)


def test_a_server_is_launched_only_after_another_has_started(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, held = Server(lock), threading.Event()
    use(server, monkeypatch)
    lock.parent.mkdir()
    events: list[str] = []

    def other_starts() -> None:
        with hold(lock, "another server"):
            held.set()
            time.sleep(0.3)
            events.append("other started")

    other = threading.Thread(target=other_starts)
    other.start()
    assert held.wait(10)
    with own_server(tmp_path / "logs", lambda: events.append("launched")):
        other.join()
    assert events == ["other started", "launched"]


def test_pkd_up_holds_the_lock_until_its_prefect_server_answers(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect, mlflow, serving = (Server(lock) for _ in range(3))
    stopped = threading.Event()

    for name, value in {
        "prefect_service": lambda *_: prefect.service,
        "mlflow_service": lambda *_: mlflow.service,
        "serving_service": lambda *_: serving.service,
        "workspace_backend": lambda _: Backend("sqlite:///", "", is_of_server=False),
        "welcome": lambda *_: stopped.set(),
        "_stopped_by_signals": lambda: stopped,
    }.items():
        monkeypatch.setattr(f"flows.service.up.{name}", value)
    request = Request(build_run_config(tasks=("Tiny",)), RunOptions(device="cpu"), tmp_path)
    serve_until_stopped(request, Wanted(32_001, 32_002))
    assert (prefect.locked, mlflow.locked, serving.locked) == ([True, True], [False, False], [False, False])


@pytest.mark.slow
def test_servers_that_start_together_on_one_new_database_all_answer(tmp_path: Path) -> None:
    # Without the lock, one of three ends with status 3 at most attempts.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    code = (
        "from pathlib import Path\n"
        "from flows.environment import prepare_environment\n"
        "from flows.service.own_server import own_server\n"
        "prepare_environment(Path())\n"
        "with own_server(Path('logs')):\n"
        "    print('answers')\n"
    )
    processes = [
        subprocess.Popen(
            [str(BIN / "python"), "-c", code],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    ended = [process.communicate(timeout=300) for process in processes]
    assert [output for output, _ in ended] == ["answers\n"] * 4, ended
