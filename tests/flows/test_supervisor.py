"""A service ends with the process that launched it, also when that one alone is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from up_process import wait_for

from flows.service.processes import supervised

# Launches a service, and beside it a child that goes on after this process.
PARENT = """
import subprocess, sys, time
from pathlib import Path
from flows.service.processes import Service, launch
service = Service("Test Service", [sys.executable, "-c", sys.argv[1]], lambda: True, {})
process = launch(service, Path("logs"))
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path("started").write_text(f"{process.pid} {other.pid}")
time.sleep(60)
"""
# Has a child in its group, and writes both ids.
SERVICE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("service.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("service.new", "service")
time.sleep(60)
"""
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
# A supervisor that waits for less than the usual seconds.
IMPATIENT = """
import sys
from flows.service import supervisor
supervisor._SECONDS_TO_STOP = supervisor._SECONDS_FOR_ITS_CHILDREN = 0.2
supervisor.supervise([sys.executable, "-c", sys.argv[1]])
"""


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(listed.strip()) and not listed.startswith("Z")


def ids(path: Path) -> list[int]:
    wait_for(path.exists, 60, path.name)
    return [int(word) for word in path.read_text(encoding="utf-8").split()]


def test_a_service_and_its_children_end_when_its_parent_alone_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, SERVICE], cwd=tmp_path) as parent:
        of_service = ids(tmp_path / "service")
        supervisor, other = ids(tmp_path / "started")
        assert all(is_alive(pid) for pid in (*of_service, supervisor))
        parent.kill()
    try:
        wait_for(lambda: not any(is_alive(pid) for pid in (*of_service, supervisor)), 20, "the service's end")
        # It holds nothing that would keep the service alive.
        assert is_alive(other)
    finally:
        os.kill(other, signal.SIGKILL)


def test_a_service_that_ignores_sigterm_is_killed_when_its_parent_has_ended(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, IGNORES + SERVICE],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as supervisor:
        assert supervisor.stdin
        of_service = ids(tmp_path / "service")
        supervisor.stdin.close()
        assert supervisor.wait(timeout=20) == -signal.SIGKILL
    wait_for(lambda: not any(is_alive(pid) for pid in of_service), 20, "the service's end")


def test_a_supervisor_ends_as_its_service_did() -> None:
    for code, status in (
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 15)", -15),
    ):
        command = supervised([sys.executable, "-c", code])
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as ended:
            assert ended.wait(timeout=60) == status
