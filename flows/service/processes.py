"""Long-running processes: launch them, wait until they answer, stop them with all their children."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.service.listening import HERE, LOOPBACK, Listening
from flows.service.up_record import UpRecord
from pkd_core.errors import PkdError
from pkd_core.store.os_errors import file_errors

SECONDS_TO_START = 120.0
_SECONDS_TO_STOP = 15.0
# Python then imports nothing from the current folder, which may hold modules of the user's with names of ours. Their
# children inherit it, such as the process that Prefect starts for a deployment's run.
_IMPORTS = {"PYTHONSAFEPATH": "1"}


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


def is_free(port: int, host: str = LOOPBACK[0]) -> bool:
    """Return whether nothing listens on a port of an address of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_free_port(name: str, port: int, record: UpRecord | None, listening: Listening = HERE) -> None:
    """Check that nothing listens on a port.

    Args:
        name: The service that needs it.
        port: Its number.
        record: What the latest `pkd up` wrote down, which may hold it still.
        listening: Where the service is to listen.

    Raises:
        PkdError: Something does; names it, and the command that ends it, where it is known.
    """
    if is_free(port, listening.host):
        return
    option = f"--{name.split(maxsplit=1)[0].lower()}-port"
    holder = record.holder_of(port) if record else None
    if holder is None:
        raise PkdError(f"{name} needs port {port}, which is taken; stop what uses it, or give {option}.")
    raise PkdError(f"{name} needs port {port}, which is taken {holder}, or give {option}.")


def launch(service: Service, log_folder: Path) -> subprocess.Popen[bytes]:
    """Start a service in a new process group, its output appended to a log file; it ends with this process.

    Its supervisor watches for the end of this process: `subprocess` gives no other child the write end of its pipe.

    Raises:
        StoreError: The log cannot be written.
    """
    log = log_file(service, log_folder)
    with file_errors("write", log):
        log_folder.mkdir(parents=True, exist_ok=True)
        output = log.open("ab")
    with output:
        return subprocess.Popen(
            supervised(service.command),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            env=os.environ | _IMPORTS | dict(service.environment),
            start_new_session=True,
        )


def supervised(command: Sequence[str]) -> list[str]:
    """Return the command of the supervisor that runs a service's command."""
    return [sys.executable, "-m", "flows.service.supervisor", *command]


def wait_until_ready(
    service: Service, process: subprocess.Popen[bytes], log_folder: Path, stopped: threading.Event
) -> None:
    """Wait until a launched service answers, or until `stopped` is set.

    Raises:
        PkdError: It ended, or did not answer in time; names the log.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    log = log_file(service, log_folder)
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
    for process in processes:
        if process.stdin:
            process.stdin.close()


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group, or none with 0; return False if the group is gone."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def log_file(service: Service, log_folder: Path) -> Path:
    """Return the path of a service's log."""
    return log_folder / f"{service.name.lower().replace(' ', '-')}.log"
