"""Runs a service, and ends it with the process that launched it: `python -m flows.service.supervisor COMMAND...`.

Standard input is a pipe that the launching process holds open. It closes when that process ends, in whatever way: then
the service's process group gets SIGTERM, and after some seconds SIGKILL. Linux's PR_SET_PDEATHSIG would be bound to the
thread that launched the service.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_STOP = 10.0
_SECONDS_FOR_ITS_CHILDREN = 2.0


def supervise(command: Sequence[str]) -> int:
    """Run a command until it ends, and return its status as subprocess does: negative for a signal."""
    received: list[int] = []
    # Signals go to the whole group, the service too. It does not inherit these handlers; it would inherit SIG_IGN.
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: received.append(number))
    service = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    if received:
        # What comes before a new process has replaced its program is lost.
        service.send_signal(received[0])
    parent_ended = threading.Event()
    watcher = threading.Thread(target=_end_with_parent, args=[service, parent_ended], daemon=True)
    watcher.start()
    status = service.wait()
    if parent_ended.is_set():
        watcher.join()
    return status


def _end_with_parent(service: "subprocess.Popen[bytes]", parent_ended: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    parent_ended.set()
    # Its own group, which it leads: as another's member it would end that.
    os.killpg(os.getpid(), signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        service.wait(_SECONDS_TO_STOP)
    time.sleep(_SECONDS_FOR_ITS_CHILDREN)
    os.killpg(os.getpid(), signal.SIGKILL)


def _exit_like(status: int) -> None:
    """End this process as its service ended."""
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    _exit_like(supervise(sys.argv[1:]))
