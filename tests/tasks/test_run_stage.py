"""In a process one stage computes at a time, and it does not while it waits for another process."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_model, write_tiny_task

import tasks.run_stage
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.local import log_progress
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.stage import Stage
from pkd_core.store.stage_store import StageStatus, StageStore
from tasks.progress import show_in_log
from tasks.run_stage import run_stage


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    run = build_run_config(tasks=["Tiny"], model=str(tmp_path / "model"), settings={"tokens.max_length": 16})
    return make_plan(run, tmp_path)


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def most_at_once(stage: Stage, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many of three threads compute a stage at the same moment."""
    inside, most = [0], [0]

    def compute(*arguments: Any) -> None:
        with arguments[-1]():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.1)
            inside[0] -= 1
        raise KeyError("nothing to publish")

    def start() -> None:
        with pytest.raises(KeyError):
            run_stage(stage, {}, plan.context(RunOptions(device="cpu")), "test", show_in_log)

    monkeypatch.setattr(tasks.run_stage, "build", compute)
    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return most[0]


def test_one_stage_of_a_process_computes_at_a_time_and_others_do_not_wait_for_it(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, teacher = (one.stage for one in plan.stages[:2])
    assert most_at_once(teacher, plan, monkeypatch) == 1
    assert most_at_once(tokens, plan, monkeypatch) == 3


def test_others_compute_while_a_stage_waits_for_another_process_to_build_it(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stage, store = plan.stages[0].stage, StageStore(plan.workspace)
    turn = threading.Lock()
    arguments = (stage, {}, plan.context(RunOptions(device="cpu")), log_progress, lambda: turn)
    builder = threading.Thread(target=tasks.run_stage.build, args=arguments, daemon=True)
    with store.locked(stage.address):
        builder.start()
        assert wait_until(lambda: "Tiny tokens: waits for process" in caplog.text)
        assert turn.acquire(timeout=30)
        assert builder.is_alive()
        turn.release()
    builder.join(timeout=60)
    assert store.inspect(stage.address).status is StageStatus.DONE
