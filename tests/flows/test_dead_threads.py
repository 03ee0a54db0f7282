"""A thread that dies at its start ends the process in one sentence, because CPython would wait for it forever."""

import subprocess
import sys

import pytest

# Its first step does not lack memory, but fails at the same point and in the same way.
_PROGRAM = """
import sys, threading
from flows import dead_threads

dead_threads._SECONDS_TO_START = 0.3

class DeadAtStart(threading.Thread):
    def _bootstrap_inner(self):
        raise MemoryError

with dead_threads.ending_at_dead_threads():
    if sys.argv[1] == "dead":
        DeadAtStart(daemon=True).start()
    else:
        slow = threading.Thread(target=threading.Event().wait, args=[1.0])
        slow.start()
        slow.join()
print("done")
"""


@pytest.mark.parametrize(
    ("kind", "status", "out", "err"),
    [("dead", 2, "", "pkd: this run needs more memory"), ("slow", 0, "done\n", "")],
)
def test_a_process_does_not_wait_for_a_thread_that_died_at_its_start(
    kind: str, status: int, out: str, err: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (status, out)
    assert err in ended.stderr
