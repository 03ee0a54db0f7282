"""Stage: one report over the evaluations of a run."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from pkd_core.config.presets import published_score
from pkd_core.evaluation.answers import read_answers
from pkd_core.evaluation.distances_result import read_distances
from pkd_core.evaluation.metrics import majority_baseline
from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.evaluation.predict import Array
from pkd_core.evaluation.result import EvaluationResult, read_result
from pkd_core.pipeline.facts import ReportFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.measurements import distances_key
from pkd_core.pipeline.specs import ReportSpec, StudentBase
from pkd_core.report.by_label import MethodLabels, mean_label_scores
from pkd_core.report.confusion import Confusion, count_confusions
from pkd_core.report.curves import Curves, mean_curves
from pkd_core.report.differences import MethodAnswers, compare_all
from pkd_core.report.distances import MethodDistances, mean_over_seeds
from pkd_core.report.results import TEST
from pkd_core.report.tables import Published
from pkd_core.report.write import BaseModel, Report, ResultRow, results_table, write_report
from pkd_core.training.metric_history import read_metrics

_PUBLISHED_MODELS = ((12, 768), (24, 1024))  # layers and hidden size of BERT-base and BERT-large


def write_run_report(job: Job, spec: ReportSpec) -> ReportFacts:
    """Write `report.html`, `.md`, `.json`, `.png` and, for terminals, `.txt`."""
    results = {key: read_result(job.inputs[key]) for key in job.inputs if key in spec.presets}
    on_dev, on_test = _methods_answers(job, results), _methods_answers(job, results, TEST)
    test_labels = {one.task: one.answers.labels_R for one in on_test}
    rows = [_row(job, result, spec.presets[key], test_labels) for key, result in results.items()]
    base_model = _base_model(spec)
    published, no_published = _published(list(results.values()), spec.student_base)
    report = Report(
        rows,
        spec.failures,
        base_model,
        published=published,
        no_published=no_published,
        pairs=compare_all([one for one in _final(on_dev, on_test) if one.method != "teacher"]),
        curves=_curves(job, results),
        confusions=_confusions(job, on_dev),
        labels=_labels(job, on_dev),
        distances=_distances(job, results),
        command=job.context.command,
    )
    write_report(job.work, report)
    table = results_table(rows, spec.failures, base_model)
    (job.work / "report.txt").write_text(table + "\n", encoding="utf-8")
    return ReportFacts(num_models=len(rows), failures=spec.failures)


def _methods_answers(
    job: Job, results: Mapping[str, EvaluationResult], split: str | None = None
) -> list[MethodAnswers]:
    """Return the answers of each method and depth to a split, by default the selecting one, of tasks that score it."""
    found = []
    for (task, num_layers, method), keys in _by_method(results).items():
        selecting, _, metric = results[keys[0]].selection.partition("/")
        name = split or selecting
        if f"{name}/{metric}" not in results[keys[0]].scores:
            continue
        tables = [read_answers(job.inputs[key], name) for key in keys]
        answers = Answers(
            tables[0].labels_R,
            np.stack([table.predictions_R for table in tables]),
            num_classes=tables[0].logits_RC.shape[1],
        )
        found.append(MethodAnswers(task, num_layers, method, answers, metric, name))
    return found


def _final(on_dev: Sequence[MethodAnswers], on_test: Sequence[MethodAnswers]) -> list[MethodAnswers]:
    """Return the answers by which methods are compared: of a labelled test split, which chose nothing, else of dev."""
    tested = {(one.task, one.num_layers, one.method): one for one in on_test}
    return [tested.get((one.task, one.num_layers, one.method), one) for one in on_dev]


def _curves(job: Job, results: Mapping[str, EvaluationResult]) -> list[Curves]:
    """Return the courses of each method's trainings, of those that are among the report's inputs."""
    found = []
    for (task, num_layers, method), keys in _by_method(results).items():
        trainings = [key.replace("/evaluation-", "/", 1) for key in keys]
        histories = [read_metrics(job.inputs[key]) for key in trainings if key in job.inputs]
        found.append(Curves(task, method, num_layers, mean_curves(histories, results[keys[0]].selection)))
    return found


def _distances(job: Job, results: Mapping[str, EvaluationResult]) -> list[MethodDistances]:
    """Return the distances of each method's students to the teacher, of those that are among the report's inputs."""
    found = []
    for (task, num_layers, method), keys in _by_method(results).items():
        folders = [job.inputs.get(distances_key(key)) for key in keys]
        if seeds := [read_distances(folder) for folder in folders if folder is not None]:
            found.append(mean_over_seeds(task, method, num_layers, seeds))
    return found


def _confusions(job: Job, methods: Sequence[MethodAnswers]) -> list[Confusion]:
    labels = {one.task: job.context.tasks[one.task].labels for one in methods}
    return [
        Confusion(one.task, one.method, one.num_layers, labels[one.task], count_confusions(one.answers))
        for one in methods
        if labels[one.task] and one.answers.labels_R.ndim == 1
    ]


def _labels(job: Job, methods: Sequence[MethodAnswers]) -> list[MethodLabels]:
    labels = {one.task: job.context.tasks[one.task].labels for one in methods}
    return [
        mean_label_scores(one.task, one.method, one.num_layers, labels[one.task], one.answers)
        for one in methods
        if labels[one.task]
    ]


def _by_method(results: Mapping[str, EvaluationResult]) -> dict[tuple[str, int, str], list[str]]:
    """Return the keys of each task, depth and method, which differ by seed."""
    members: dict[tuple[str, int, str], list[str]] = {}
    for key, result in results.items():
        members.setdefault((result.task, result.num_layers, result.method), []).append(key)
    return members


def _base_model(spec: ReportSpec) -> BaseModel:
    if spec.student_base is None:
        return BaseModel(spec.base_model, spec.base_model_digest)
    student = BaseModel(spec.student_base.name, spec.student_base.digest)
    return BaseModel(spec.base_model, spec.base_model_digest, student, spec.student_base.remark)


def _published(
    results: Sequence[EvaluationResult], student_base: StudentBase | None
) -> tuple[Published | None, str]:
    """Return the authors' scores, if the pretrained models are of sizes that they used, else why there are none."""
    teachers = {(result.num_layers, result.hidden_size) for result in results if result.method == "teacher"}
    if len(teachers) != 1:
        return None, "there is no single teacher's size, on which the published figures depend"
    ((num_layers, hidden_size),) = teachers
    if (num_layers, hidden_size) not in _PUBLISHED_MODELS:
        return None, (
            f"the teacher has {num_layers} layers of {hidden_size} units, the published ones have 12 of 768 "
            "(BERT-base) or 24 of 1024 (BERT-large)"
        )
    num_base_layers = student_base.num_layers if student_base else num_layers
    widths = {result.hidden_size for result in results if result.method != "teacher"}
    if any((num_base_layers, width) not in _PUBLISHED_MODELS for width in widths):
        return None, "the students' pretrained model is neither of BERT-base's size nor of BERT-large's"
    return functools.partial(
        published_score, num_teacher_layers=num_layers, num_base_layers=num_base_layers
    ), ""


def _row(job: Job, result: EvaluationResult, preset: str, test_labels: Mapping[str, Array]) -> ResultRow:
    baseline, extra = result.baseline, {"num_dev": result.num_dev}
    if (labels_R := test_labels.get(result.task)) is not None:
        metric, is_regression = (
            result.selection.partition("/")[2],
            job.context.tasks[result.task].is_regression,
        )
        baseline = majority_baseline(labels_R, metric, is_regression)
        extra["num_test"] = len(labels_R)
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
        baseline=baseline,
        predicted_classes=result.predicted_classes,
        settings=result.settings,
        preset=preset,
        best_epoch=result.best_epoch,
        extra={
            **extra,
            "precision": result.precision,
            "skipped_lines": dict(result.skipped_lines),
            "hidden_size": result.hidden_size,
        },
    )
