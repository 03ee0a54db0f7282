"""Children answer in JSON lines, and end when they or their parent end, in whatever way."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from pkd_core.runtime.children import Children

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}
# Starts two children, prints their process ids, and is then killed by the test.
PARENT = """
import json, sys, time
from pkd_core.runtime.children import Children

with Children("echo_child", ["a", "b"]) as children:
    pids = [children.receive()[1][2] for _ in range(2)]
    children.send(0, "sleep")
    print(json.dumps(pids), flush=True)
    time.sleep(600)
"""


def start(*names: str, environment: Mapping[str, str] = ENVIRONMENT) -> tuple[Children, list[int]]:
    """Start children, and return them with their process ids."""
    children = Children("echo_child", names, environment)
    pids = dict.fromkeys(range(len(names)), 0)
    for _ in names:
        received = children.receive(60)
        assert received is not None
        number, (name, word, pid) = received
        assert (name, word) == (names[number], "is here")
        pids[number] = pid
    return children, list(pids.values())


def is_alive(pid: int) -> bool:
    """Return whether a process exists that has not ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def wait_for_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "a child has outlived its parent"
        time.sleep(0.05)


def test_messages_go_both_ways_and_what_is_printed_is_none() -> None:
    children, _ = start("a", "b")
    with children:
        children.send(1, {"number": [1, "é\n"]})
        assert children.receive(60) == (1, {"number": [1, "é\n"]})
        children.send(0, "wait for stop")
        assert children.receive(0.2) is None
        children.send(0, "stop")
        assert children.receive(60) == (0, "stopping")


def test_a_childs_end_is_told_with_its_status_and_what_it_wrote() -> None:
    children, pids = start("a", "b")
    with children:
        children.send(0, "fail")
        assert children.receive(60) == (0, None)
        assert children.status(0) == 3
        assert children.written(0) == "this is no message\na fails\n"
        children.send(0, "to nobody")
        children.send(1, "die")
        assert children.receive(60) == (1, None)
        assert children.status(1) == -9
    assert not any(map(is_alive, pids))


def test_all_children_are_killed_at_the_end_of_the_body() -> None:
    children, pids = start("a", "b")
    with pytest.raises(ZeroDivisionError), children:
        children.send(1, "sleep")
        raise ZeroDivisionError
    assert not any(map(is_alive, pids))


def test_children_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env=os.environ | ENVIRONMENT,
        text=True,
    )
    assert parent.stdout is not None
    pids = json.loads(parent.stdout.readline())
    assert all(map(is_alive, pids))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for_end(pids)
