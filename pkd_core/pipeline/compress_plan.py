"""The plans of a compression: untrained students timed, then one depth trained with its report, as `pkd run` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pkd_core.config.compress import CompressConfig, run_of
from pkd_core.config.overrides import build_settings
from pkd_core.config.recommended import Amounts, recommended_settings
from pkd_core.config.settings import RunConfig, Settings
from pkd_core.data.examples import read_split
from pkd_core.data.task import Split, Task
from pkd_core.model.file_checks import read_settings
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.latency_stages import candidates_stage
from pkd_core.pipeline.plan import Plan, RunInputs, find_inputs, plan_stages
from pkd_core.pipeline.sources import UNLABELLED
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord


@dataclass(frozen=True)
class CompressionRun:
    """A classifier that is to be compressed, with the data and models that were found for it.

    Attributes:
        task: Name of the task that its data are.
        config: What is asked for.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        inputs: What all stages are made from.
        amounts: The sizes of data and models.
        command: Repeats it; empty if that is not known.
        deep: Whether to hash every published file.
    """

    task: str
    config: CompressConfig
    workspace: Path
    inputs: RunInputs
    amounts: Amounts
    command: str = ""
    deep: bool = False

    @property
    def recommended(self) -> Mapping[str, Any]:
        """Settings by dotted key for data and models of this size."""
        return recommended_settings(self.amounts, self.config.methods)

    def run(self, num_layers: int) -> RunConfig:
        """Return the run that trains students of a depth, as `pkd run` would."""
        return run_of(self.config, self.task, num_layers, self.recommended)

    @property
    def half_of_the_layers(self) -> int:
        """The depth of students for which neither layers nor a latency are given."""
        return max(self.inputs.models.student.num_layers // 2, 1)

    @property
    def settings(self) -> Settings:
        """The settings that stages of all models read, such as the length limit."""
        return build_settings(self.recommended, self.config.settings)

    def plan_candidates(self) -> Plan:
        """Plan the timing of untrained students of every depth, in the format that is deployed.

        Raises:
            PkdError: The model is not complete.
        """
        inputs = self.inputs
        task, hashes = inputs.tasks[self.task], inputs.raw_hashes[self.task]
        stage = candidates_stage(task, hashes, inputs.models, self.settings, format=self.config.deploy_format)
        return self.plan([stage])

    def plan_students(self, num_layers: int) -> Plan:
        """Plan the trainings of a depth, with their evaluations and report.

        Raises:
            PkdError: A setting or the depth does not fit, or the model is not complete.
        """
        run, inputs = self.run(num_layers), self.inputs
        tasks = list(inputs.tasks.values())
        stages = build_dag(run, tasks, inputs.raw_hashes, inputs.models, inputs.machine)
        return self._look_up(run, stages)

    def plan(self, stages: Sequence[Stage], known: Mapping[str, StageRecord] = MappingProxyType({})) -> Plan:
        """Plan stages that belong to no depth, or come after its students.

        Args:
            stages: Each after its inputs.
            known: Records of inputs that are not among the stages, by key.

        Raises:
            PkdError: The model is not complete.
        """
        run = run_of(self.config, self.task, self.config.student_layers, self.recommended)
        return self._look_up(run, stages, known)

    def _look_up(
        self,
        run: RunConfig,
        stages: Sequence[Stage],
        known: Mapping[str, StageRecord] = MappingProxyType({}),
    ) -> Plan:
        plan = plan_stages(run, self.workspace, self.inputs, stages, self.deep, known)
        return replace(plan, command=self.command)


def find_compression(
    config: CompressConfig,
    task: str,
    workspace: Path,
    device: str = "auto",
    deep: bool = False,
    command: str = "",
    data_raw: Path | None = None,
) -> CompressionRun:
    """Find what a compression is made from: its data, which are read once, and its models.

    Args:
        config: What is asked for.
        task: Name of the task that its data are.
        workspace: Folder that holds data_raw, data_feat and artifacts.
        device: What is computed on.
        deep: Whether to hash every published file.
        command: Repeats it, for those who read the result.
        data_raw: Folder of the task's raw files, if it is not that of the workspace.

    Raises:
        PkdError: The task has no data or malformed ones, or a model cannot be found.
    """
    run = run_of(config, task, config.student_layers, {})
    inputs = find_inputs(run, workspace, device, data_raw)
    amounts = _amounts(inputs, task, bool(config.teachers))
    return CompressionRun(task, config, workspace, inputs, amounts, command, deep)


def _amounts(inputs: RunInputs, name: str, given: bool) -> Amounts:
    task, models, data_raw = inputs.tasks[name], inputs.models, inputs.data_raw
    unlabelled = task.unlabelled_split if UNLABELLED in inputs.raw_hashes[name] else None
    return Amounts(
        num_train=_num_rows(data_raw, task, task.train_split),
        num_transfer=0 if unlabelled is None else _num_rows(data_raw, task, unlabelled),
        teacher_width=None if given else read_settings(models.teacher.folder).hidden_size,
        student_width=read_settings(models.student.folder).hidden_size,
        max_length=min(models.teacher.max_length, models.student.max_length),
        has_scores=task.is_regression,
        has_common_layers=models.student_base is None,
    )


def _num_rows(data_raw: Path, task: Task, split: Split) -> int:
    return sum(1 for _ in read_split(data_raw / split.file, task, split, []))
