"""Which stages a run needs, and which of them are done: all of it known before anything runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pkd_core.config.settings import RunConfig, RunOptions
from pkd_core.data.glue import load_task
from pkd_core.data.task import Task
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.sources import PretrainedModel, find_model, hash_raw_files
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.why import explain_missing
from pkd_core.store.run_records import record_run
from pkd_core.store.stage_store import StageStatus, StageStore


@dataclass(frozen=True)
class PlannedStage:
    """A stage, whether it is done, and if not, why."""

    stage: Stage
    status: StageStatus
    reason: str


@dataclass(frozen=True)
class Plan:
    """A run as it was planned.

    Attributes:
        run: What is to be computed.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        tasks: The run's tasks by name.
        model: The pretrained model.
        stages: All stages, each after its inputs, the report last.
    """

    run: RunConfig
    workspace: Path
    tasks: Mapping[str, Task]
    model: PretrainedModel
    stages: tuple[PlannedStage, ...]

    @property
    def todo(self) -> tuple[PlannedStage, ...]:
        """The stages that are not done."""
        return tuple(planned for planned in self.stages if planned.status is not StageStatus.DONE)

    def context(self, options: RunOptions) -> RunContext:
        """Return what every stage of the run is given."""
        return RunContext(self.workspace.resolve(), self.model, self.tasks, options)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what the run refers to, and that it is active while the body runs: `pkd clean` spares both.

        Raises:
            StoreError: If the record cannot be written.
        """
        folders = [planned.stage.address.folder for planned in self.stages]
        with record_run(self.workspace, self.run.model_dump(mode="json"), folders):
            yield


def make_plan(run: RunConfig, workspace: Path, deep: bool = False) -> Plan:
    """Build a run's stages and look each one up in the workspace's store.

    Args:
        run: What is to be computed.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        deep: Compare the hash of every published file, not its size alone.

    Raises:
        PkdError: The workspace is a file, a task is unknown or has no data, the model cannot be found, or a depth
            does not fit.
    """
    store = StageStore(workspace)
    data_raw = workspace / "data_raw"
    tasks = {name: load_task(name, data_raw) for name in run.tasks}
    hashes = {name: hash_raw_files(task, data_raw) for name, task in tasks.items()}
    model = find_model(run.model)
    stages = build_dag(run, list(tasks.values()), hashes, model)
    return Plan(run, workspace, tasks, model, tuple(_look_up(stages, store, deep)))


def _look_up(stages: Sequence[Stage], store: StageStore, deep: bool) -> Iterator[PlannedStage]:
    digests: dict[str, str] = {}
    for stage in stages:
        known = {part: digests[key] for part, key in stage.inputs.items() if key in digests}
        inspection = store.inspect(stage.address, inputs=known | dict(stage.sources), deep=deep)
        if inspection.manifest and inspection.status in (StageStatus.DONE, StageStatus.STALE):
            digests[stage.key] = inspection.manifest.digest
        missing = inspection.status is StageStatus.MISSING
        reason = explain_missing(stage, store.workspace) if missing else inspection.reason
        yield PlannedStage(stage, inspection.status, reason)
