"""Which stages a run needs, and which of them are done: all of it known before anything runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pkd_core.config.model_paths import model_paths
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig
from pkd_core.data.glue import load_task
from pkd_core.data.task import Task
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.models import Models, PretrainedModel, check_language_head, check_models, find_models
from pkd_core.pipeline.position import Position, find_position
from pkd_core.pipeline.several_processes import check_processes
from pkd_core.pipeline.shared_sources import send_sources
from pkd_core.pipeline.sources import hash_raw_files, hash_unlabelled
from pkd_core.pipeline.specs import TransferSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.why import explain_missing
from pkd_core.runtime.device import machine_of
from pkd_core.store.address import StageRecord
from pkd_core.store.attached import place_of
from pkd_core.store.catalog import Catalog
from pkd_core.store.local_cache import check_bound, num_bytes_of
from pkd_core.store.manifest import Manifest
from pkd_core.store.run_records import record_run
from pkd_core.store.stage_store import StageStatus, StageStore


@dataclass(frozen=True)
class RunInputs:
    """What a run's stages are made from.

    Attributes:
        data_raw: Folder of the tasks' raw files.
        tasks: The run's tasks by name.
        raw_hashes: Hash of each raw file, by task and split.
        models: The pretrained models of teacher and students.
        machine: Model of the processor or the GPU to compute on.
    """

    data_raw: Path
    tasks: Mapping[str, Task]
    raw_hashes: Mapping[str, Mapping[str, str]]
    models: Models
    machine: str


@dataclass(frozen=True)
class PlannedStage:
    """A stage, whether it is done, and if not, why, in a phrase of one line.

    Attributes:
        stage: The stage.
        status: Whether it is done.
        reason: Why it is not done; empty if it is.
        position: The checkpoint that it resumes from; None if it starts at the beginning.
        num_input_bytes: Size of those of its inputs that are published.
    """

    stage: Stage
    status: StageStatus
    reason: str
    position: Position | None = None
    num_input_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Plan:
    """A run as it was planned.

    Attributes:
        run: What is to be computed.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        data_raw: Folder of the tasks' raw files: that of the workspace, except in a plan that is only looked at.
        tasks: The run's tasks by name.
        models: The pretrained models of teacher and students.
        stages: All stages, each after its inputs, the report last.
        command: Repeats what the plan is a part of; empty for `pkd run`.
    """

    run: RunConfig
    workspace: Path
    data_raw: Path
    tasks: Mapping[str, Task]
    models: Models
    stages: tuple[PlannedStage, ...]
    command: str = ""

    @property
    def model(self) -> PretrainedModel:
        """The teacher's pretrained model; with own teachers, that of the students."""
        return self.models.teacher

    @property
    def todo(self) -> tuple[PlannedStage, ...]:
        """The stages that are not done."""
        return tuple(planned for planned in self.stages if planned.status is not StageStatus.DONE)

    def context(self, options: RunOptions) -> RunContext:
        """Return what every stage of the run is given.

        If several machines share the workspace, the raw data and the models are sent to its place.

        Raises:
            ConfigError: A training cannot be divided among the processes that the options ask for; or `check_cache`.
            StoreError: The data or the models cannot be sent.
        """
        check_processes([planned.stage for planned in self.todo], options)
        self.check_cache(options)
        command = self.command or self.models.command_of(self.run)
        own_teachers = self.models.own_teachers
        workspace = self.workspace.resolve()
        sources = send_sources(workspace, self.tasks, self.models if self.todo else None)
        return RunContext(workspace, self.model, self.tasks, options, command, own_teachers, sources)

    def check_cache(self, options: RunOptions) -> None:
        """Check that this machine may keep copies of all that one stage reads, if several machines share the workspace.

        Raises:
            ConfigError: It may not.
        """
        if place_of(self.workspace) is not None:
            for planned in self.todo:
                check_bound(planned.stage.key, planned.num_input_bytes, options.cache_gb * 1e9)

    @contextmanager
    def recorded(self) -> Iterator[Path]:
        """Record what the run refers to, and that it is active while the body runs: `pkd clean` spares both.

        Yields the path of the record. A model folder has its absolute path there, however it was given.

        Raises:
            StoreError: If the record cannot be written.
        """
        folders = [planned.stage.address.folder for planned in self.stages]
        request = self.run.model_dump(mode="json") | model_paths(self.run)
        with record_run(self.workspace, request, folders) as record:
            yield record


# Builds the stages of a plan that are not done, given records of inputs outside of it, and returns all records.
BuildPlan = Callable[[Plan, Mapping[str, StageRecord]], Mapping[str, StageRecord]]


def make_plan(run: RunConfig, workspace: Path, deep: bool = False, device: str = "auto") -> Plan:
    """Build a run's stages and look each one up in the workspace's store.

    Args:
        run: What is to be computed.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        deep: Compare the hash of every published file, not its size alone.
        device: What the run will compute on: the speeds' addresses contain its model.

    Raises:
        PkdError: The workspace is a file, a task is unknown or has no data, the model or the device cannot be found, or
            a depth does not fit.
    """
    inputs = find_inputs(run, workspace, device)
    stages = build_dag(run, list(inputs.tasks.values()), inputs.raw_hashes, inputs.models, inputs.machine)
    return plan_stages(run, workspace, inputs, stages, deep)


def find_inputs(
    run: RunConfig, workspace: Path, device: str = "auto", data_raw: Path | None = None
) -> RunInputs:
    """Find and hash what a run's stages are made from.

    Args:
        run: What is to be computed.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        device: What the run will compute on.
        data_raw: Folder of the tasks' raw files, if it is not that of the workspace.

    Raises:
        PkdError: As `make_plan`.
    """
    StageStore(workspace)
    data_raw = data_raw or workspace / "data_raw"
    tasks = {name: load_task(name, data_raw) for name in run.tasks}
    hashes = {
        name: hash_raw_files(task, data_raw) | hash_unlabelled(task, data_raw) for name, task in tasks.items()
    }
    return RunInputs(
        data_raw, tasks, hashes, find_models(run.model, run.student_model, run.teachers), machine_of(device)
    )


def plan_stages(
    run: RunConfig,
    workspace: Path,
    inputs: RunInputs,
    stages: Sequence[Stage],
    deep: bool = False,
    known: Mapping[str, StageRecord] = MappingProxyType({}),
) -> Plan:
    """Look each stage up in the workspace's store.

    Args:
        run: What is to be computed.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        inputs: What the stages are made from.
        stages: Each after its inputs.
        deep: Compare the hash of every published file, not its size alone.
        known: Records of inputs that are not among the stages, by key.

    Raises:
        ModelError: Something is to be computed, and the model's files are not complete, or words are to be predicted
            and it has no masked-language head.
    """
    store = StageStore(workspace)
    looked_up = tuple(_look_up(stages, store, deep, known))
    plan = Plan(run, workspace, inputs.data_raw, inputs.tasks, inputs.models, looked_up)
    if plan.todo:
        # Stages that are done were made from a model of the same bytes; the check imports torch, which takes seconds.
        check_models(inputs.models)
        specs = [planned.stage.spec for planned in plan.todo]
        if any(isinstance(spec, TransferSpec) and spec.transfer.predicts_words for spec in specs):
            check_language_head(inputs.models.teacher)
    return plan


def _look_up(
    stages: Sequence[Stage], store: StageStore, deep: bool, known: Mapping[str, StageRecord]
) -> Iterator[PlannedStage]:
    manifests: dict[str, Manifest] = {}
    inspections = store.inspect_all([stage.address for stage in stages], deep)
    catalog = Catalog(store.workspace)
    for stage in stages:
        inputs = {part: manifests[key] for part, key in stage.inputs.items() if key in manifests}
        digests = {part: known[key].digest for part, key in stage.inputs.items() if key in known}
        digests |= {part: manifest.digest for part, manifest in inputs.items()} | dict(stage.sources)
        inspection = inspections[stage.address].against(digests)
        if inspection.manifest and inspection.status in (StageStatus.DONE, StageStatus.STALE):
            manifests[stage.key] = inspection.manifest
        if inspection.status is StageStatus.DONE:
            yield PlannedStage(stage, inspection.status, "")
            continue
        missing = inspection.status is StageStatus.MISSING
        position = find_position(stage, digests, inputs, store.workspace)
        if position and missing:
            reason = f"resumes at {position}"
        else:
            reason = explain_missing(stage, catalog) if missing else inspection.reason
        num_bytes = sum(map(num_bytes_of, inputs.values()))
        yield PlannedStage(stage, inspection.status, " ".join(reason.split()), position, num_bytes)
