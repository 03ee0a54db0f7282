"""Kills a process at each of its file operations, one after the other."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# The audit event comes just before the operation.
_OPERATIONS = ("open", "os.rename", "os.mkdir", "os.scandir", "os.remove", "os.rmdir")


def kill_at_each_operation(
    folder: Path, prepare: Callable[[Path], None], run: Callable[[Path], None]
) -> list[Path]:
    """Prepare one folder after another and run a function on each, in a process that is killed one operation later.

    Args:
        folder: An empty folder for these folders.
        prepare: A function of the test's module.
        run: Another one.

    Returns:
        The folders by the number of operations done; the function was finished on the last one only.
    """
    # Processes fork faster from one that holds no torch.
    command = [sys.executable, __file__, prepare.__module__, prepare.__name__, run.__name__, str(folder)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    return sorted(folder.iterdir(), key=lambda folder: int(folder.name))


def _kill_at_each_operation(
    folder: Path, prepare: Callable[[Path], None], run: Callable[[Path], None]
) -> None:
    number, is_killed = 0, True
    while is_killed:
        number += 1
        prepared = folder / str(number)
        prepared.mkdir()
        prepare(prepared)
        child = os.fork()
        if child == 0:
            _die_at(number)
            run(prepared)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), f"not killed, but ended with {status}"
        is_killed = status != 0


def _die_at(number: int) -> None:
    num_done = 0

    def count(event: str, _: object) -> None:
        nonlocal num_done
        if event in _OPERATIONS:
            num_done += 1
            if num_done == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    _kill_at_each_operation(Path(sys.argv[4]), getattr(module, sys.argv[2]), getattr(module, sys.argv[3]))
