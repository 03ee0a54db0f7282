"""One of the processes that compute a stage together: `python -m pkd_core.pipeline.rank_process`.

It gets its task from the process that has started it, and tells it what happens: see `several_processes`.
"""

import logging
from collections.abc import Mapping

from pkd_core.errors import PkdError
from pkd_core.pipeline.compute import compute
from pkd_core.pipeline.job import Job, RunContext
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.rank_task import RankTask
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.runtime.children import Parent
from pkd_core.runtime.process_group import join
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.finished_files import FinishedFiles
from pkd_core.store.manifest import read_manifest
from pkd_core.store.os_errors import resource_errors


def run_rank() -> None:
    """Compute a part of a stage, and end with an error's class and sentence, or with what the stage reports."""
    parent = Parent()
    task = RankTask.from_json(parent.receive())
    configure_process()
    _log_to(parent, logging.INFO if task.rank == 0 else logging.ERROR)
    try:
        with resource_errors(task.stage.key):
            facts = compute(_job(task, parent))
    except PkdError as error:
        parent.send({"error": [type(error).__name__, str(error)]})
    else:
        parent.send({"facts": facts.model_dump(mode="json")})


def _job(task: RankTask, parent: Parent) -> Job:
    options = task.options.model_copy(update={"device": task.device})
    context = RunContext(
        task.workspace, task.model, {task.task.name: task.task}, options, sources=task.sources
    )
    report = _Reports(parent, task.stage.key)
    # All extract examples of their own; of a training, all would report the same.
    is_observed = task.rank == 0 or task.stage.kind is StageKind.STATES
    return Job(
        stage=task.stage,
        work=task.work,
        resume=task.resume,
        inputs=task.inputs,
        manifests={part: read_manifest(folder) for part, folder in task.inputs.items()},
        context=context,
        observer=report if is_observed else _NoReports(),
        check_inputs=report.check_inputs,
        finished=_Finished(FinishedFiles(task.work, task.resume), report),
        keep=report.keep,
        group=join(task.rank, task.size, task.meeting, context.device),
    )


class _Reports:
    """Tells the parent of metrics and progress, and lets it do what only one process may."""

    def __init__(self, parent: Parent, name: str) -> None:
        self._parent = parent
        self._name = name

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._parent.send({"metrics": [step, dict(values)]})

    def progress(self, done: int, total: int, unit: str) -> None:
        if self._parent.is_stopping.is_set():
            raise StoppedError(f"{self._name} was stopped.")
        self._parent.send({"progress": [done, total, unit]})

    def flush(self) -> None:
        self._ask("flush")

    def check_inputs(self) -> None:
        self._ask("check_inputs")

    def keep(self) -> None:
        self._ask("keep")

    def finished(self, name: str) -> None:
        self._ask("finished", name)

    def _ask(self, *request: str) -> None:
        """Wait until the parent has done something; it ends this process if that fails."""
        self._parent.send({"ask": request})
        self._parent.receive()


class _NoReports:
    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def progress(self, done: int, total: int, unit: str) -> None:
        pass

    def flush(self) -> None:
        pass


class _Finished:
    """The finished files of a work folder, as they are recorded; the parent adds to the record."""

    def __init__(self, recorded: FinishedFiles, reports: _Reports) -> None:
        self._recorded = recorded
        self._reports = reports

    def add(self, name: str) -> None:
        self._reports.finished(name)

    def is_finished(self, name: str) -> bool:
        return self._recorded.is_finished(name)


class _LogToParent(logging.Handler):
    def __init__(self, parent: Parent, level: int) -> None:
        super().__init__(level)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        self._parent.send({"log": [record.name, record.levelno, record.getMessage()]})


def _log_to(parent: Parent, level: int) -> None:
    logger = logging.getLogger("pkd_core")
    logger.setLevel(level)
    logger.addHandler(_LogToParent(parent, level))


if __name__ == "__main__":
    run_rank()
