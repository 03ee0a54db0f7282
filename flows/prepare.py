"""Looks, before hours are spent, whether every task has its data; fetches what is absent where the hub answers."""

from pathlib import Path

from pkd_core.config.settings import RunConfig
from pkd_core.data.download import download_task
from pkd_core.data.glue import GLUE_TASKS, load_task
from pkd_core.data.validation import check_examples
from pkd_core.errors import DataError
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.sources import has_raw_files
from pkd_core.pipeline.stage import StageKind
from pkd_core.runtime.device import find_device
from pkd_core.store.stage_store import StageStatus, StageStore


def prepare(run: RunConfig, workspace: Path, device: str = "auto", deep: bool = False) -> Plan:
    """Check the workspace and the device, fetch absent data, then plan the run.

    Raises:
        PkdError: There is no such device, some task's data is neither here nor to be had (names all such tasks), or the
            plan cannot be made.
    """
    StageStore(workspace)
    find_device(device)
    download_missing_data(run.tasks, workspace / "data_raw")
    return make_plan(run, workspace, deep)


def check_data(plan: Plan, data_raw: Path) -> None:
    """Read the data of every task that is to be tokenised, to tell of mistakes in them while a person is there to mend.

    Raises:
        DataError: A file is not of the stated shape, or its labels leave nothing to learn or to score.
    """
    for planned in plan.stages:
        if planned.stage.kind is StageKind.TOKENS and planned.status is not StageStatus.DONE:
            check_examples(load_task(planned.stage.task, data_raw), data_raw)


def download_missing_data(names: tuple[str, ...], data_raw: Path) -> None:
    """Fetch the data of every task that lacks it.

    Raises:
        DataError: Names every task whose data could not be had.
    """
    reasons: dict[str, str] = {}
    for name in names:
        if name in GLUE_TASKS and not has_raw_files(load_task(name, data_raw), data_raw):
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
