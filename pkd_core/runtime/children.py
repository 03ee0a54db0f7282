"""Processes that a process starts for a part of its work: JSON lines in both directions, and an end with their parent.

A child's standard input is a pipe that its parent holds open: it closes when the parent ends, in whatever way, and the
child then ends as well. Its standard output carries messages alone. What libraries write to standard error is kept for
the case that it dies.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import IO, Any

# Python then imports nothing from the current folder, which may hold modules of the user's with names of ours.
_IMPORTS = {"PYTHONSAFEPATH": "1"}


class Children:
    """Runs a module of ours in several processes, which are killed at the end of the body; a context manager.

    Args:
        module: What `python -m` runs.
        first_messages: The first message to each child.
        environment: Added to this process's environment.
    """

    def __init__(
        self, module: str, first_messages: Sequence[Any], environment: Mapping[str, str] = _IMPORTS
    ) -> None:
        self._received: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._files = ExitStack()
        self._errors: list[IO[str]] = []
        self._processes: list[subprocess.Popen[str]] = []
        try:
            for number, message in enumerate(first_messages):
                self._start(number, module, environment)
                self.send(number, message)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def send(self, number: int, message: Any) -> None:
        """Send a JSON value to a child; nothing happens if it has ended."""
        pipe = self._processes[number].stdin
        assert pipe is not None, "it was opened"
        with suppress(BrokenPipeError):
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

    def receive(self, seconds: float | None = None) -> tuple[int, Any] | None:
        """Return the number of the next child that says something, and its message: None where the child has ended.

        Returns None if nobody says anything for so many seconds.
        """
        with suppress(queue.Empty):
            return self._received.get(timeout=seconds)
        return None

    def status(self, number: int) -> int:
        """Wait for the end of a child whose output has ended, and return its status; negative for a signal."""
        return self._processes[number].wait()

    def written(self, number: int) -> str:
        """Return what a child has written to standard error."""
        self._errors[number].seek(0)
        return self._errors[number].read()

    def _start(self, number: int, module: str, environment: Mapping[str, str]) -> None:
        file = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed with the others)
        self._errors.append(self._files.enter_context(file))
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors[number],
            env=os.environ | dict(environment),
            encoding="utf-8",
            # Ctrl-C is for the parent, which tells its children what to do.
            start_new_session=True,
        )
        self._processes.append(process)
        threading.Thread(target=self._read, args=[number, process], daemon=True).start()

    def _read(self, number: int, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None, "it was opened"
        with suppress(ValueError):  # a line that was cut off by the child's end
            for line in process.stdout:
                self._received.put((number, json.loads(line)))
        self._received.put((number, None))

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            assert process.stdin is not None, "it was opened"
            with suppress(BrokenPipeError):
                process.stdin.close()
        self._files.close()


class Parent:
    """The parent of this process, which has started it with `Children`.

    From now on, whatever prints to standard output prints to standard error.

    Attributes:
        is_stopping: Set when the parent has sent the message "stop".
    """

    def __init__(self) -> None:
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._received: queue.Queue[Any] = queue.Queue()
        self.is_stopping = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: Any) -> None:
        """Send a JSON value."""
        with self._lock:
            self._output.write(json.dumps(message) + "\n")
            self._output.flush()

    def receive(self) -> Any:
        """Return the next message other than "stop"."""
        return self._received.get()

    def _read(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if message == "stop":
                self.is_stopping.set()
            else:
                self._received.put(message)
        # The parent has ended, or wants this process to end.
        os._exit(1)
