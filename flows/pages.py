"""What Prefect's UI shows of a flow run besides its tasks: the plan, and the report's table."""

import logging
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.latest_report import record_latest
from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStatus

logger = logging.getLogger(__name__)


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
    """Show the report as an artifact, and record it as the workspace's latest."""
    folder = workspace / report.path
    create_markdown_artifact(
        (folder / "report.md").read_text(encoding="utf-8", errors="replace"),
        key="report",
        description=f"Files: {report.path}",
    )
    record_latest(workspace, report)
