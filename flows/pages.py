"""What Prefect's UI shows of a flow run besides its tasks: the plan, and the report's table."""

import base64
import logging
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.latest_report import record_latest
from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord
from pkd_core.store.os_errors import file_errors
from pkd_core.store.stage_store import StageStatus

logger = logging.getLogger(__name__)

_FIGURE = "report.png"


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
    """Show the report as an artifact, with its figure in it, and record it as the workspace's latest.

    Raises:
        StoreError: The report cannot be read, or the disk cannot be written.
    """
    folder = workspace / report.path
    with file_errors("read", folder):
        text = (folder / "report.md").read_text(encoding="utf-8", errors="replace")
        figure = base64.b64encode((folder / _FIGURE).read_bytes()).decode("ascii")
    create_markdown_artifact(
        # Prefect's page has no access to files.
        text.replace(f"]({_FIGURE})", f"](data:image/png;base64,{figure})"),
        key="report",
        description=f"Files: {report.path}",
    )
    record_latest(workspace, report)
