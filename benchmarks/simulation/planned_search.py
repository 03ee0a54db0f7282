"""The stages of real searches: `pkd search` is planned for every task and depth, and nothing is built."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.demo_model import write_demo_model
from pkd_core.config.overrides import build_run_config
from pkd_core.config.search import build_search_config
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan, find_inputs
from pkd_core.pipeline.search import run_search
from pkd_core.pipeline.search_plan import Search
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord

FINAL, REPORT = "final", "report"


@dataclass(frozen=True)
class PlannedRound:
    """A part of a search that its driver plans and submits at once.

    Attributes:
        name: The method whose points are tried, "final" or "report".
        stages: Its stages, each after its inputs.
        seconds: What planning it took, from the end of the part before.
    """

    name: str
    stages: tuple[Stage, ...]
    seconds: float


@dataclass(frozen=True)
class PlannedSearch:
    """A search of one task and one depth, in the order in which its driver submits it."""

    task: str
    num_layers: int
    rounds: tuple[PlannedRound, ...]

    @property
    def stages(self) -> list[Stage]:
        """Those of all rounds, each address once."""
        return list({stage.address: stage for one in self.rounds for stage in one.stages}.values())


def write_inputs(workspace: Path) -> None:
    """Write what a plan reads: a file for each of GLUE's, which may hold anything, and a random BERT of 12 layers."""
    for task in GLUE_TASKS.values():
        for split in task.splits:
            path = workspace / "data_raw" / split.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{split.file}\n", encoding="utf-8")
    write_demo_model(workspace / "model", 0, 32, 1, num_layers=12, hidden_size=32)


def plan_search(workspace: Path, task: str, num_layers: int, seeds: Sequence[int]) -> PlannedSearch:
    """Plan the paper's search of one task and one depth, every point with some seeds.

    Args:
        workspace: A folder with the task's data and the pretrained model in `model`.
        task: The task.
        num_layers: The students' depth.
        seeds: Seeds of each point.
    """
    run = build_run_config(
        tasks=[task], student_layers=[num_layers], seeds=seeds, model=str(workspace / "model")
    )
    begin = time.monotonic()
    search = Search(run, build_search_config({}), workspace, find_inputs(run, workspace, "cpu"))
    plans: list[tuple[Plan, float]] = []

    def note(plan: Plan, _known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        nonlocal begin
        plans.append((plan, time.monotonic() - begin))
        begin = time.monotonic()
        return {planned.stage.key: _record(planned.stage) for planned in plan.stages}

    run_search(search, note)
    names = [*(one.method for one in search.rounds), FINAL, REPORT]
    rounds = (
        PlannedRound(name, tuple(planned.stage for planned in plan.stages), seconds)
        for name, (plan, seconds) in zip(names, plans, strict=True)
    )
    return PlannedSearch(task, num_layers, tuple(rounds))


def _record(stage: Stage) -> StageRecord:
    """Return the record of a stage as if it were built; all evaluations have one score."""
    facts = {"score": 0.5, "speed_ratio": None} if stage.kind is StageKind.EVALUATION else {}
    path = stage.address.folder.as_posix()
    return StageRecord(stage.task, stage.name, stage.fingerprint, "digest", path, facts)
