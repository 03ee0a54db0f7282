"""Runs of the flow over two tiny tasks, and what Prefect, MLflow and the report hold of them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from tiny import QUICK_SETTINGS

from flows.latest_report import latest_report
from flows.pkd import pkd
from flows.request import Request
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig
from tasks.mlflow_store import ensure_store

SETTINGS = QUICK_SETTINGS
STAGES = (
    "tokens",
    "teacher",
    "evaluation-teacher",
    "teacher-states",
    "speed-2l",
    "finetune-2l-s42",
    "evaluation-finetune-2l-s42",
    "distances-finetune-2l-s42",
    "kd-2l-s42",
    "evaluation-kd-2l-s42",
    "distances-kd-2l-s42",
)
TRAININGS = ("finetune-2l-s42", "kd-2l-s42", "teacher")
TASK_A = {f"TinyA/{stage}" for stage in STAGES}
TASK_B = {f"TinyB/{stage}" for stage in STAGES}
REPORT = {"reports/report"}


@dataclass(frozen=True)
class Run:
    """What a flow run left: its state, its tasks' states by stage, MLflow's runs (name, status), and the report."""

    state: State[Any]
    tasks: Mapping[str, State[Any]]
    mlflow: list[tuple[str, str]]
    report: dict[str, Any]

    def named(self, state: str) -> set[str]:
        """Return the stages that ended in a state of that name."""
        return {stage for stage, ended in self.tasks.items() if ended.name == state}


def run_config(root: Path, tasks: tuple[str, ...] = ("TinyA", "TinyB"), **settings: float) -> RunConfig:
    changed = SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    model = str(root / "model")
    return build_run_config(tasks=tasks, methods=("finetune", "kd"), model=model, settings=changed)


def start(root: Path, *args: Any, **settings: float) -> State[Any]:
    parameters = Request(run_config(root, *args, **settings), RunOptions(device="cpu"), root).parameters()
    state: State[Any] = pkd(**parameters, return_state=True)
    return state


def run(root: Path, tasks: tuple[str, ...] = ("TinyA", "TinyB"), **settings: float) -> Run:
    """Run the flow and ask Prefect and MLflow what became of it."""
    state = start(root, tasks, **settings)
    report = latest_report(root)
    assert report is not None
    return Run(
        state,
        task_states(state.state_details.flow_run_id, len(tasks) * len(STAGES) + 1),
        mlflow_runs(root),
        json.loads((report / "report.json").read_text(encoding="utf-8")),
    )


def task_states(flow_run: UUID | None, num_tasks: int) -> dict[str, State[Any]]:
    """Return the last state of a flow run's tasks by their names, once Prefect has recorded all of them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with get_client(sync_client=True) as client:
            found = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])), limit=200
            )
        states = {run.name: run.state for run in found if run.state}
        ended = [state for state in states.values() if state.is_final() or state.name == "NotReady"]
        if len(ended) == num_tasks:
            return states
        time.sleep(0.2)
    pytest.fail(f"{num_tasks} tasks should have ended by now, but these have: {states}")


def mlflow_runs(root: Path) -> list[tuple[str, str]]:
    store = ensure_store(root)
    return sorted(
        (run.info.run_name, run.info.status) for run in store.client.search_runs([store.experiment_id])
    )


def manifests(root: Path) -> dict[Path, int]:
    """Return when each published stage was published."""
    return {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")}


def finished(*names: str) -> list[tuple[str, str]]:
    return sorted((name, "FINISHED") for name in names)
