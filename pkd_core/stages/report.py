"""Stage: one report over the evaluations of a run."""

import json
from typing import Any

from pkd_core.report import ResultRow, write_report
from pkd_core.stages.job import Job


def report(job: Job) -> dict[str, Any]:
    """Write `report.md`, `report.json` and `report.png`; return how many models they compare."""
    rows = [_row(job, key) for key in job.inputs]
    write_report(job.work, rows, job.stage.config["failures"])
    return {"num_models": len(rows), "failures": dict(job.stage.config["failures"])}


def _row(job: Job, key: str) -> ResultRow:
    told = json.loads((job.inputs[key] / "evaluation.json").read_text(encoding="utf-8"))
    return ResultRow(
        task=told["task"],
        method=told["method"],
        num_layers=told["num_layers"],
        seed=told["seed"],
        scores=told["scores"],
        selection=told["selection"],
        parameters=told["parameters"],
        size_bytes=told["size_bytes"],
        speed_ratio=told["speed_ratio"],
        baseline=told["baseline"],
        settings=told["settings"],
        preset=job.stage.config["presets"][key],
        best_epoch=told["best_epoch"],
        extra={"num_dev": told["num_dev"], "precision": told["precision"]},
    )
