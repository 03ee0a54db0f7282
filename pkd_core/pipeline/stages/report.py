"""Stage: one report over the evaluations of a run."""

import functools
from collections.abc import Mapping

import numpy as np

from pkd_core.config.presets import published_score
from pkd_core.evaluation.answers import read_answers
from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.evaluation.result import EvaluationResult, read_result
from pkd_core.pipeline.facts import ReportFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import ReportSpec
from pkd_core.report.differences import MethodAnswers, compare_all
from pkd_core.report.write import BaseModel, Published, ResultRow, results_table, write_report

_PUBLISHED_TEACHERS = ((12, 768), (24, 1024))  # layers and hidden size of BERT-base and BERT-large


def write_run_report(job: Job, spec: ReportSpec) -> ReportFacts:
    """Write `report.md`, `.json`, `.png` and, for terminals, `.txt`."""
    results = {key: read_result(folder) for key, folder in job.inputs.items()}
    rows = [_row(result, spec.presets[key]) for key, result in results.items()]
    pairs = compare_all(_students_answers(job, results))
    base_model = BaseModel(spec.base_model, spec.base_model_digest)
    write_report(job.work, rows, spec.failures, base_model, _published(list(results.values())), pairs)
    table = results_table(rows, spec.failures, base_model)
    (job.work / "report.txt").write_text(table + "\n", encoding="utf-8")
    return ReportFacts(num_models=len(rows), failures=spec.failures)


def _students_answers(job: Job, results: Mapping[str, EvaluationResult]) -> list[MethodAnswers]:
    """Return the answers of each method and depth to its task's selecting dev split."""
    members: dict[tuple[str, int, str], list[str]] = {}
    for key, result in results.items():
        if result.method != "teacher":
            members.setdefault((result.task, result.num_layers, result.method), []).append(key)
    found = []
    for (task, num_layers, method), keys in members.items():
        split, _, metric = results[keys[0]].selection.partition("/")
        tables = [read_answers(job.inputs[key], split) for key in keys]
        answers = Answers(
            tables[0].labels_R,
            np.stack([table.predictions_R for table in tables]),
            num_classes=tables[0].logits_RC.shape[1],
        )
        found.append(MethodAnswers(task, num_layers, method, answers, metric))
    return found


def _published(results: list[EvaluationResult]) -> Published | None:
    """Return the authors' scores for comparison, if the teacher is of a size that they used."""
    teachers = {(result.num_layers, result.hidden_size) for result in results if result.method == "teacher"}
    depths = {depth for depth, hidden_size in teachers if (depth, hidden_size) in _PUBLISHED_TEACHERS}
    if len(teachers) != 1 or not depths:
        return None
    return functools.partial(published_score, num_teacher_layers=depths.pop())


def _row(result: EvaluationResult, preset: str) -> ResultRow:
    return ResultRow(
        task=result.task,
        method=result.method,
        num_layers=result.num_layers,
        seed=result.seed,
        scores=result.scores,
        selection=result.selection,
        parameters=result.parameters,
        size_bytes=result.size_bytes,
        speed=result.speed,
        baseline=result.baseline,
        predicted_classes=result.predicted_classes,
        settings=result.settings,
        preset=preset,
        best_epoch=result.best_epoch,
        extra={
            "num_dev": result.num_dev,
            "precision": result.precision,
            "skipped_lines": dict(result.skipped_lines),
            "hidden_size": result.hidden_size,
        },
    )
