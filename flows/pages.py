"""What Prefect's UI shows of a flow run besides its tasks: the plan, and the report's table."""

import base64
import logging
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.latest_report import record_latest
from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord
from pkd_core.store.catalog import local_copy
from pkd_core.store.os_errors import file_errors
from pkd_core.store.stage_store import StageStatus

logger = logging.getLogger(__name__)

_PAGE = "report.html"


def show_plan(plan: Plan) -> None:
    """Show the plan as an artifact, and log how much of it is done."""
    rows = [
        {
            "stage": one.stage.key,
            "status": one.status.value,
            "why": one.reason,
            "fingerprint": one.stage.fingerprint,
        }
        for one in plan.stages
    ]
    create_table_artifact(rows, key="plan", description="What was done before this run, and what was to do")
    done = sum(one.status is StageStatus.DONE for one in plan.stages)
    logger.info("%d stages: %d done, %d to do", len(plan.stages), done, len(plan.stages) - done)


def show_report(workspace: Path, report: StageRecord) -> None:
    """Show the report as an artifact, with its figure in it and a link to its page, and record it as the latest.

    Raises:
        StoreError: The report cannot be read, or the disk cannot be written.
    """
    _show_page(workspace, report, "report")
    create_link_artifact(
        (workspace.resolve() / report.path / _PAGE).as_uri(),
        link_text=f"{report.path}/{_PAGE}",
        key="report-page",
        description="The whole report, as a file on the machine of this run. Browsers follow no such link: copy it. "
        "MLflow's run of the report has the same file among its artifacts.",
    )
    record_latest(workspace, report)


def show_search(workspace: Path, report: StageRecord) -> None:
    """Show the report of a search as an artifact, with its figure in it.

    Raises:
        StoreError: The report cannot be read.
    """
    _show_page(workspace, report, "search")


def _show_page(workspace: Path, report: StageRecord, name: str) -> None:
    folder = local_copy(workspace / report.path)
    with file_errors("read", folder):
        text = (folder / f"{name}.md").read_text(encoding="utf-8", errors="replace")
        figure = base64.b64encode((folder / f"{name}.png").read_bytes()).decode("ascii")
    create_markdown_artifact(
        # Prefect's page has no access to files.
        text.replace(f"]({name}.png)", f"](data:image/png;base64,{figure})"),
        key=name,
        description=f"Files: {report.path}",
    )
