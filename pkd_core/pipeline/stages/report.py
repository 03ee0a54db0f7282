"""Stage: one report over the evaluations of a run."""

import functools
import json
from typing import Any

from pkd_core.config.presets import published_score
from pkd_core.pipeline.job import Job
from pkd_core.report.write import Published, ResultRow, results_table, write_report

_PUBLISHED_TEACHERS = ((12, 768), (24, 1024))  # layers and hidden size of BERT-base and BERT-large


def report(job: Job) -> dict[str, Any]:
    """Write `report.md`, `.json`, `.png` and, for terminals, `.txt`; return how many models they compare."""
    rows = [_row(job, key) for key in job.inputs]
    failures = job.stage.config["failures"]
    write_report(job.work, rows, failures, _published(rows))
    (job.work / "report.txt").write_text(results_table(rows, failures) + "\n", encoding="utf-8")
    return {"num_models": len(rows), "failures": dict(failures)}


def _published(rows: list[ResultRow]) -> Published | None:
    """Return the authors' scores for comparison, if the teacher is of a size that they used."""
    teachers = {(row.num_layers, row.extra["hidden_size"]) for row in rows if row.method == "teacher"}
    depths = {depth for depth, hidden_size in teachers if (depth, hidden_size) in _PUBLISHED_TEACHERS}
    if len(teachers) != 1 or not depths:
        return None
    return functools.partial(published_score, num_teacher_layers=depths.pop())


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
        extra={key: told[key] for key in ("num_dev", "precision", "skipped_lines", "hidden_size")},
    )
