"""Stages that two processes compute: the same digests as from one, also after a process was killed or all stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task
from tiny_bert import Recorder

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import LostProcessError
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import StoppedError, clear_stop_request, request_stop
from pkd_core.runtime.observer import Observer
from pkd_core.runtime.threads import computing_with
from pkd_core.store.address import StageRecord

pytestmark = pytest.mark.slow

SETTINGS = QUICK_SETTINGS | {
    "teacher.accumulation_steps": 2,
    "student.accumulation_steps": 2,
    "teacher.num_epochs": 3,
}
NUM_STEPS = 15
STAGES = ("tokens", "teacher", "teacher-states", "pkd-skip-2l-s1")


class At(Recorder):
    """Does something once, at a step of the teacher's training."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._step = step
        self._act = act

    def progress(self, done: int, total: int, unit: str) -> None:
        super().progress(done, total, unit)
        if (done, total) == (self._step, NUM_STEPS):
            self._act()


def write_workspace(root: Path) -> None:
    write_tiny_task(root / "data_raw", num_train=150)
    write_tiny_model(root / "bert", 4)


def build(
    root: Path, processes: int, observer: Recorder, stages: tuple[str, ...] = STAGES
) -> dict[str, StageRecord]:
    """Build some stages, with a checkpoint after every step, and return their records."""

    @contextmanager
    def track(stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
        yield observer

    run = build_run_config(
        tasks=["Tiny"],
        methods=["pkd-skip"],
        student_layers=[2],
        seeds=[1],
        model=str(root / "bert"),
        settings=SETTINGS,
    )
    plan = make_plan(run, root, device="cpu")
    chosen = tuple(one for one in plan.stages if one.stage.name in stages)
    options = RunOptions(device="cpu", processes=processes, checkpoint_minutes=0)
    return build_stages(replace(plan, stages=chosen), options, track)


def children() -> list[int]:
    """Return the ids of the stage's processes that have not ended, the oldest first."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            # Other tests may have left servers of theirs to this process.
            if int(fields[1]) == os.getpid() and fields[0] != "Z" and b"rank_process" in command:
                found.append(int(folder.name))
    return sorted(found)


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], Recorder]:
    """A workspace, the digests that one process makes there, and what it reports."""
    root, seen = tmp_path_factory.mktemp("one"), Recorder()
    write_workspace(root)
    with computing_with(1):
        records = build(root, 1, seen)
    return root, {key: record.digest for key, record in records.items()}, seen


@pytest.fixture
def fresh(of_one: tuple[Path, dict[str, str], Recorder], tmp_path: Path) -> Path:
    """A workspace with the same data and the same model, and nothing built."""
    for name in ("data_raw", "bert"):
        (tmp_path / name).symlink_to(of_one[0] / name)
    return tmp_path


def test_all_stages_have_the_digests_and_the_metrics_of_one_process(
    of_one: tuple[Path, dict[str, str], Recorder], fresh: Path
) -> None:
    seen = Recorder()
    records = build(fresh, 2, seen)
    assert {key: record.digest for key, record in records.items()} == of_one[1]
    assert seen.metrics_seen == of_one[2].metrics_seen
    assert seen.num_flushed == of_one[2].num_flushed
    assert {record.path for record in records.values()} == {
        path.relative_to(of_one[0]).as_posix() for path in of_one[0].glob("*/Tiny/*-*")
    }


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_the_stage_goes_on_to_the_same_digest(
    rank: int, of_one: tuple[Path, dict[str, str], Recorder], fresh: Path
) -> None:
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        os.kill(children()[rank], signal.SIGKILL)

    message = (
        rf"Tiny/teacher needs all of its 2 processes, and number {rank + 1} was killed (signal 9); the same command "
        "goes on from its last checkpoint."
    )
    with pytest.raises(LostProcessError, match=f"^{re.escape(message)}$"):
        build(fresh, 2, At(7, kill))
    assert time.monotonic() - killed[0] < 20
    assert children() == []
    seen = Recorder()
    records = build(fresh, 2, seen, ("tokens", "teacher"))
    assert records["Tiny/teacher"].digest == of_one[1]["Tiny/teacher"]
    assert min(seen.series("train/total")) in (7, 8)


def test_a_process_that_does_not_answer_is_given_up(fresh: Path) -> None:
    message = "number 2 did not answer for 30 s; the same command goes on from its last checkpoint.$"
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(children()[1])
        os.kill(stopped[0], signal.SIGSTOP)

    with pytest.raises(LostProcessError, match=message):
        build(fresh, 2, At(7, stop))
    assert children() == []


def test_a_stop_request_saves_a_checkpoint_from_which_the_stage_goes_on(
    of_one: tuple[Path, dict[str, str], Recorder], fresh: Path
) -> None:
    first, second = At(6, request_stop), Recorder()
    try:
        with pytest.raises(
            StoppedError, match=r"^Tiny/teacher was stopped; the same command goes on from there\.$"
        ):
            build(fresh, 2, first)
    finally:
        clear_stop_request()
    assert children() == []
    records = build(fresh, 2, second, ("tokens", "teacher"))
    assert records["Tiny/teacher"].digest == of_one[1]["Tiny/teacher"]
    steps = [*first.series("train/total"), *second.series("train/total")]
    assert steps == list(range(1, NUM_STEPS + 1))


LISTENING = """
import subprocess, sys
from pathlib import Path
from test_in_processes import At, build, children

def show():
    wanted = [f"pid={pid}," for pid in children()]
    lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        if any(each in line for each in wanted):
            print(line.split()[3])

build(Path(sys.argv[1]), 2, At(7, show), ("tokens", "teacher"))
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_the_processes_listen_on_the_loopback_address_alone(fresh: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LISTENING, str(fresh)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    addresses = done.stdout.split()
    assert addresses
    assert {address.rsplit(":", 1)[0] for address in addresses} == {"127.0.0.1"}
