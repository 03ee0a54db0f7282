"""Checks, before hours are spent, that every task has its data, and downloads what is missing."""

from pathlib import Path

from flows.request import Request
from pkd_core.config.placement import is_cluster
from pkd_core.config.run_options import RunOptions
from pkd_core.data.download import DOWNLOADED, download_task
from pkd_core.data.glue import load_task
from pkd_core.data.validation import check_examples, check_unlabelled
from pkd_core.errors import DataError
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.sources import UNLABELLED, has_raw_files
from pkd_core.pipeline.task_data import bring_data
from pkd_core.runtime.device import find_device
from pkd_core.store.stage_store import StageStore


def prepare(request: Request) -> Plan:
    """Check the workspace and the device, download missing data, then plan the run.

    Raises:
        PkdError: There is no such device, some task's data is neither here nor available for download (names all such
            tasks), or the plan cannot be made.
    """
    workspace = request.workspace
    StageStore(workspace)
    check_device(request.options)
    prepare_data(request.run.tasks, workspace)
    return make_plan(request.run, workspace, request.options.deep, request.options.device)


def check_device(options: RunOptions) -> None:
    """Check that the device exists; a cluster's devices are on other machines.

    Raises:
        ConfigError: There is no such device here.
    """
    if options.device != "auto" and not is_cluster(options.placement):
        find_device(options.device)  # imports torch, which takes seconds


def check_data(plan: Plan) -> None:
    """Read the data of every task that are to be tokenised, to report mistakes while a person is there to fix them.

    Raises:
        DataError: A file is not of the stated shape, or its labels leave nothing to learn or to score.
    """
    data_raw = plan.workspace / "data_raw"
    checked: set[str] = set()
    for planned in plan.todo:
        stage, task = planned.stage, plan.tasks.get(planned.stage.task)
        if task is not None and stage.kind is StageKind.TOKENS and task.name not in checked:
            # Once, also where teacher and students have tokens of their own.
            checked.add(task.name)
            check_examples(task, data_raw)
        elif task is not None and UNLABELLED in stage.sources:
            check_unlabelled(task, data_raw)


def prepare_data(names: tuple[str, ...], workspace: Path) -> None:
    """Bring the data of tasks into a workspace that several machines share, and download those of GLUE and RACE.

    Raises:
        DataError: Names every task whose data could not be downloaded.
        StoreError: The place of the workspace cannot be used.
    """
    bring_data(workspace, names)
    download_missing_data(names, workspace / "data_raw")


def download_missing_data(names: tuple[str, ...], data_raw: Path) -> None:
    """Download the data of every task of GLUE, and of RACE, that has none.

    Raises:
        DataError: Names every task whose data could not be downloaded.
    """
    reasons: dict[str, str] = {}
    for name in names:
        if name in DOWNLOADED and not has_raw_files(load_task(name, data_raw), data_raw):
            try:
                download_task(name, data_raw)
            except DataError as error:
                reasons[name] = str(error)
    if reasons:
        here = [name for name in names if name not in reasons]
        advice = f", or run only {', '.join(here)}" if here else ""
        raise DataError(
            f"no data in {data_raw} for {', '.join(reasons)}, and none could be fetched "
            f"({next(iter(reasons.values()))}){advice}."
        )
