"""What MLflow shows of a report: a run with its figures, its pages and its table."""

import json

from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.specs import ReportSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.report.summary import read_summary
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore
from tasks.completion import complete_run
from tasks.mlflow_store import Store
from tasks.run_contents import RunContents
from tasks.unfinished import attempt_file

# The stages that a partial report lacks; a whole report has no such tag.
FAILED_STAGES_TAG = "failed_stages"
_TABLE = "table.json"
_TABLE_COLUMNS = (
    "task",
    "method",
    "num_layers",
    "score",
    "gap_to_teacher",
    "parameters",
    "times_smaller",
    "speed_ratio",
)


def log_report(
    stage: Stage, spec: ReportSpec, record: StageRecord, context: RunContext, flow_run: str
) -> None:
    """Log a report to a run of its own; harmless to repeat.

    Raises:
        PkdError: MLflow does not accept it.
    """
    tasks = sorted({key.partition("/")[0] for key in [*spec.presets, *spec.failures]})
    folder = StageStore(context.workspace).fetch(stage.address)
    groups = read_summary(folder)
    partial = {FAILED_STAGES_TAG: ", ".join(spec.failures)} if spec.failures else {}
    contents = RunContents(
        name=f"report/{'-'.join(tasks).lower()}{' (partial)' if partial else ''}",
        tags={
            "task": ",".join(tasks),
            "method": stage.kind.value,
            "layers": "",
            "seed": "",
            "fingerprint": stage.fingerprint,
            "flow_run": flow_run,
            **partial,
        },
        params={},
        datasets={},
    )

    def add_files(store: Store, run_id: str) -> None:
        for path in sorted(folder.glob("report.*")):
            store.client.log_artifact(run_id, str(path))
        rows = [[getattr(group, column) for column in _TABLE_COLUMNS] for group in groups]
        # As client.log_table does, which would append to the table of an interrupted call.
        store.client.log_dict(run_id, {"columns": list(_TABLE_COLUMNS), "data": rows}, _TABLE)
        store.client.set_tag(
            run_id, "mlflow.loggedArtifacts", json.dumps([{"path": _TABLE, "type": "table"}])
        )

    complete_run(
        context.workspace,
        attempt_file(context.workspace, stage.address),
        contents,
        record.digest,
        [(0, {f"report/{group.name}": group.score for group in groups})],
        add_files,
    )
