"""Cost of Prefect and MLflow beyond direct calls, and of a rerun in which everything is cached."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row
from flows.demo_data import DEMO_TASK, write_demo_task
from flows.demo_model import write_demo_model

_NUM_TASKS = 9
_DIRECT = """
import sys
from pathlib import Path
from flows.demo import demo_request
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
request = demo_request(Path(sys.argv[1]))
plan = make_plan(request.run, request.workspace)
run_plan(plan, request.options)
"""
_SERVER = """
import sys
from pathlib import Path
from flows.environment import prepare_environment
from flows.service.own_server import own_server
prepare_environment(Path(sys.argv[1]))
with own_server(Path(sys.argv[1]) / "logs"):
    from prefect import flow
    from flows.pkd import pkd
    flow(lambda: None, name="empty")()
"""


def measure_orchestration(turns: int) -> Iterator[Row]:
    """Yield both costs in seconds. The demo takes minutes, so it is measured once for every three turns."""
    pkd = str(Path(sys.executable).with_name("pkd"))
    beyond_direct, beyond_start = [], []
    details = ("", "")
    for _ in range(max(turns // 3, 1)):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            server = _seconds([sys.executable, "-c", _SERVER, str(root / "empty")], root)
            direct = _seconds([sys.executable, "-c", _DIRECT, str(root / "direct")], root)
            demo = _seconds([pkd, "demo", "--workspace", str(root / "demo")], root)
            cached = _seconds(_cached_command(pkd, root), root)
        beyond_direct.append(demo - direct - server)
        beyond_start.append(cached - server)
        details = (
            f"{demo:.1f} s - {direct:.1f} s - {server:.1f} s",
            f"{cached:.1f} s - {server:.1f} s",
        )
    yield Row("demo: seconds beyond direct calls and server start", tuple(beyond_direct), "<= 5", details[0])
    yield Row(
        f"{_NUM_TASKS} cached tasks: seconds beyond server start", tuple(beyond_start), "<= 10", details[1]
    )


def _cached_command(pkd: str, root: Path) -> list[str]:
    """Run nine small tasks once, and return the command that runs them again."""
    workspace = root / "nine"
    write_demo_task(workspace / "data_raw", 0, 64, 32, 8, 64)
    write_demo_model(workspace / "model", 0, num_sentences=64, num_epochs=1)
    names = [f"{DEMO_TASK}{number}" for number in range(_NUM_TASKS)]
    for name in names:
        shutil.copytree(workspace / "data_raw" / DEMO_TASK, workspace / "data_raw" / name)
    settings = ["teacher.num_epochs=1", "student.num_epochs=1", "tokens.max_length=64"]
    command = [
        *[pkd, "run", *names, *settings],
        *["--model", str(workspace / "model"), "--workspace", str(workspace)],
    ]
    _seconds(command, root)
    return command


def _seconds(command: list[str], folder: Path) -> float:
    # The demo computes on one thread, so the others do too.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
    return time.perf_counter() - begin
