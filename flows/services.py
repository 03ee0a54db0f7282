"""Long-running processes: started in order, each waited for until it answers, all stopped together."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import PkdError

_SECONDS_TO_START = 90.0
_SECONDS_TO_STOP = 15.0


@dataclass(frozen=True)
class Service:
    """A process to run beside others.

    Attributes:
        name: For messages and the log file.
        command: Program and arguments.
        is_ready: Tells whether it answers.
        environment: Added to this process's own.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str]


def require_free_port(name: str, port: int) -> None:
    """Check that nothing listens on a loopback port yet.

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


def start(service: Service, log_folder: Path) -> subprocess.Popen[bytes]:
    """Start a service in a process group of its own, its output going to a log file, and wait until it answers.

    Raises:
        PkdError: It ended, or did not answer in time; names the log.
    """
    log_folder.mkdir(parents=True, exist_ok=True)
    log = log_folder / f"{service.name.lower().replace(' ', '-')}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            service.command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(service.environment),
            start_new_session=True,
        )
    deadline = time.monotonic() + _SECONDS_TO_START
    try:
        while not service.is_ready():
            if process.poll() is not None:
                raise PkdError(f"{service.name} ended with status {process.returncode}; its log is {log}.")
            if time.monotonic() > deadline:
                raise PkdError(
                    f"{service.name} did not answer within {_SECONDS_TO_START:.0f} s; its log is {log}."
                )
            time.sleep(0.25)
    except BaseException:
        stop(process)
        raise
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a service's whole process group to end; kill what has not after some seconds."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _SECONDS_TO_STOP
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
