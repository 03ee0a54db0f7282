"""A thread that dies while it starts ends the process in a sentence, for CPython would wait for it for ever."""

import subprocess
import sys

import pytest

# Its first step takes no memory that is not there, but fails in the same place and in the same way.
_STILLBORN = """
import sys, threading
from flows import crashes

crashes._SECONDS_TO_START = 0.3
is_stillborn = sys.argv[1] == "stillborn"

class Stillborn(threading.Thread):
    def _bootstrap_inner(self):
        raise MemoryError

with crashes.ending_at_stillborn_threads():
    if is_stillborn:
        Stillborn(daemon=True).start()
    else:
        slow = threading.Thread(target=threading.Event().wait, args=[1.5])
        slow.start()
        slow.join()
print("done")
"""


@pytest.mark.parametrize(
    ("kind", "status", "out", "err"),
    [("stillborn", 2, "", "pkd: this run needs more memory"), ("slow", 0, "done\n", "")],
)
def test_a_process_does_not_wait_for_a_thread_that_died_at_its_start(
    kind: str, status: int, out: str, err: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _STILLBORN, kind], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (status, out)
    assert err in ended.stderr
