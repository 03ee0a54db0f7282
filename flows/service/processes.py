"""Long-running processes: launch them, wait until they answer, stop them with all their children."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import PkdError

SECONDS_TO_START = 90.0
_SECONDS_TO_STOP = 15.0


@dataclass(frozen=True)
class Service:
    """A process that runs until it is stopped.

    Attributes:
        name: For messages and the log file.
        command: Program and arguments.
        is_ready: Returns whether it answers.
        environment: Added to this process's environment.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str]


def require_free_port(name: str, port: int) -> None:
    """Check that nothing listens on a loopback port.

    Raises:
        PkdError: Something does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            option = f"--{name.split(maxsplit=1)[0].lower()}-port"
            raise PkdError(
                f"{name} needs port {port}, which is taken; stop what uses it, or give {option}."
            ) from error


def launch(service: Service, log_folder: Path) -> subprocess.Popen[bytes]:
    """Start a service in a new process group, its output appended to a log file."""
    log_folder.mkdir(parents=True, exist_ok=True)
    with _log_file(service, log_folder).open("ab") as output:
        return subprocess.Popen(
            service.command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(service.environment),
            start_new_session=True,
        )


def wait_until_ready(
    service: Service, process: subprocess.Popen[bytes], log_folder: Path, stopped: threading.Event
) -> None:
    """Wait until a launched service answers, or until `stopped` is set.

    Raises:
        PkdError: It ended, or did not answer in time; names the log.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    log = _log_file(service, log_folder)
    while not stopped.is_set() and not service.is_ready():
        if process.poll() is not None:
            raise PkdError(f"the {service.name} ended with status {process.returncode}; its log is {log}.")
        if time.monotonic() > deadline:
            raise PkdError(
                f"the {service.name} did not answer within {SECONDS_TO_START:.0f} s; its log is {log}."
            )
        stopped.wait(0.25)


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the services' process groups, all at once; kill what still runs after some seconds."""
    groups = {process.pid: process for process in processes if _signal(process.pid, signal.SIGTERM)}
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        # A group exists until its ended leader is waited for.
        groups = {
            group: process for group, process in groups.items() if process.poll() is None or _signal(group, 0)
        }
    for group in groups:
        _signal(group, signal.SIGKILL)
    # A killed grandchild may stay listed until process 1 collects it: wait for the services alone.
    for process in groups.values():
        process.wait()


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group, or none with 0; return False if the group is gone."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _log_file(service: Service, log_folder: Path) -> Path:
    return log_folder / f"{service.name.lower().replace(' ', '-')}.log"
