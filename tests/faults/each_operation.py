"""A run is killed at one operation after the other: each change of the file system, each call of MLflow."""

import functools
import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import mlflow
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from faults.outcome import Outcome
from faults.workspaces import read_result
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.build import build
from pkd_core.pipeline.plan import make_plan
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore
from tasks.stage_tracking import log_stage, track_stage

_FILE_OPERATIONS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link")
_SECONDS_OF_A_DAY = 86_400


def kill_at_each_operation(root: Path, every: int, log: Callable[[str], None] = lambda _: None) -> Outcome:
    """Kill a run before its n-th operation, for one n after the other; run again, and compare with an undisturbed run.

    The run again is made under another host name, with a clock that is a day behind, and looks at sizes alone.

    Args:
        root: An empty folder.
        every: Kill at every n-th operation only, to save time.
        log: Called with each line of progress.
    """
    template, workspace = root / "template", root / "workspace"
    outcome = Outcome("SIGKILL before an operation of files or of MLflow")
    write_tiny_task(template / "data_raw")
    write_tiny_model(template / "model")
    shutil.copytree(template, workspace)
    assert _in_child(lambda: _run_counted(workspace, root / "count")) == 0
    num_operations = int((root / "count").read_text(encoding="utf-8"))
    expected = _snapshot(workspace, root)
    for number in range(1, num_operations + 1, every):
        shutil.rmtree(workspace)
        shutil.copytree(template, workspace)
        killed = _in_child(functools.partial(_run_until, workspace, number))
        outcome.injected += 1
        if killed != -signal.SIGKILL or _in_child(lambda: _run_elsewhere(workspace)) != 0:
            outcome.add_lost(f"operation {number}: ended with {killed}, or did not continue")
        elif differing := [
            key for key, value in _snapshot(workspace, root).items() if value != expected[key]
        ]:
            outcome.add_lost(f"operation {number}: other {', '.join(differing)}")
        log(f"operation {number} of {num_operations}:{outcome.details[-200:]} {outcome.lost} lost")
    return outcome


def _run(root: Path) -> None:
    """Build all stages, and log them to MLflow, as the flow's tasks do."""
    run = build_run_config(
        tasks=["Tiny"], methods=["kd"], seeds=[1], model=str(root / "model"), settings=QUICK_SETTINGS
    )
    plan = make_plan(run, root, device="cpu")
    context = plan.context(RunOptions(device="cpu", checkpoint_minutes=0))
    records: dict[str, StageRecord] = {}

    def track(stage: Any, inputs: Any, resumes: bool) -> AbstractContextManager[Observer]:
        return track_stage(stage, inputs, resumes, context, "a flow run", LogObserver(stage.key))

    with plan.recorded():
        for planned in plan.stages:
            stage = planned.stage
            inputs = {part: records[key] for part, key in stage.inputs.items()}
            records[stage.key] = build(stage, inputs, context, track)
            with StageStore(root).locked(stage.address):
                log_stage(stage, inputs, records[stage.key], context, "a flow run")


def _run_counted(root: Path, count_file: Path) -> None:
    num_done = _count_operations(lambda _: None)
    _run(root)
    count_file.write_text(str(num_done()), encoding="utf-8")


def _run_until(root: Path, number: int) -> None:
    def kill_at(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    _count_operations(kill_at)
    _run(root)


def _run_elsewhere(root: Path) -> None:
    real_time = time.time
    time.time = lambda: real_time() - _SECONDS_OF_A_DAY
    socket.gethostname = lambda: "another-host"
    _run(root)


def _count_operations(at: Callable[[int], None]) -> Callable[[], int]:
    """Call a function with the number of each operation just before it; return how many there were until now."""
    num_done = 0

    def count() -> None:
        nonlocal num_done
        num_done += 1
        at(num_done)

    sys.addaudithook(lambda event, _: count() if event in _FILE_OPERATIONS else None)
    for name in [name for name in vars(mlflow.MlflowClient) if not name.startswith("_")]:
        method = getattr(mlflow.MlflowClient, name)

        def counted(*args: Any, _method: Any = method, **kwargs: Any) -> Any:
            count()
            return _method(*args, **kwargs)

        if callable(method):
            setattr(mlflow.MlflowClient, name, functools.wraps(method)(counted))
    return lambda: num_done


def _snapshot(root: Path, folder: Path) -> dict[str, Any]:
    """Return a workspace's results, read in a process of its own: MLflow's client remembers open databases."""
    path = folder / "snapshot.json"

    def write() -> None:
        result = read_result(root)
        content = {"files": result.files, "curves": result.curves, "registry": result.registry}
        path.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")

    assert _in_child(write) == 0
    snapshot: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return snapshot


def _in_child(function: Callable[[], object]) -> int:
    """Call a function in a forked process, and return its exit status; negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
