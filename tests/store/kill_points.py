"""Kills a process at each of its file operations, one after the other."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# The audit event comes just before the operation.
_OPERATIONS = ("open", "os.rename", "os.mkdir", "os.scandir", "os.remove", "os.rmdir")


def kill_at_each_operation(
    folder: Path, prepare: Callable[[Path], None], run: Callable[[Path], None]
) -> list[Path]:
    """Prepare one folder after another and run a function on each, in a process that is killed one operation later.

    Returns:
        The folders by the number of operations done; the function was finished on the last one only.
    """
    folders: list[Path] = []
    is_killed = True
    while is_killed:
        folders.append(folder / str(len(folders)))
        folders[-1].mkdir()
        prepare(folders[-1])
        child = os.fork()
        if child == 0:
            _run_until_killed(lambda: run(folders[-1]), len(folders))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), "it failed before it was killed"
        is_killed = status != 0
    return folders


def _run_until_killed(run: Callable[[], None], num_operations: int) -> None:
    num_left = num_operations

    def count(event: str, _: object) -> None:
        nonlocal num_left
        if event in _OPERATIONS:
            num_left -= 1
            if num_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(count)
        run()
        os._exit(0)
    finally:
        os._exit(1)
