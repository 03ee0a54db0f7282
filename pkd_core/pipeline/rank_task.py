"""What each of the processes of a stage is told: its part of a job, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pkd_core.config.run_options import RunOptions
from pkd_core.data.task import Task
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.shared_sources import SharedSources
from pkd_core.pipeline.stage import Stage


@dataclass(frozen=True)
class RankTask:
    """What one process is to compute, and with whom.

    Attributes:
        rank: Its number, from 0.
        size: How many processes there are.
        meeting: The file over which they find each other.
        device: Where it computes.
        stage: What is to be computed.
        work: The stage's work folder.
        resume: Its resume folder.
        inputs: Published folder of each input, by its part.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        model: The run's pretrained model.
        task: The stage's task.
        options: How the run works.
        sources: Where the raw data and the models are, if several machines share the workspace.
    """

    rank: int
    size: int
    meeting: Path
    device: str
    stage: Stage
    work: Path
    resume: Path
    inputs: Mapping[str, Path]
    workspace: Path
    model: PretrainedModel
    task: Task
    options: RunOptions
    sources: SharedSources | None = None

    @classmethod
    def of(cls, job: Job, rank: int, devices: list[str], meeting: Path) -> "RankTask":
        """Return the part of a job that one of the processes has, each of which has its device."""
        context = job.context
        return cls(
            rank,
            len(devices),
            meeting,
            devices[rank],
            job.stage,
            job.work,
            job.resume,
            job.inputs,
            context.workspace,
            context.model,
            job.task,
            context.options,
            context.sources,
        )

    def to_json(self) -> Any:
        """Return the task as JSON values."""
        return _ADAPTER.dump_python(self, mode="json")

    @classmethod
    def from_json(cls, value: Any) -> "RankTask":
        """Return the task that `to_json` was called on."""
        return _ADAPTER.validate_python(value)


_ADAPTER = TypeAdapter(RankTask)
