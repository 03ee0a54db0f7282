"""Stage: score a model on the labelled splits except train, predict the unlabelled ones, measure its size."""

import numpy as np

from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.answers import write_answers
from pkd_core.evaluation.metrics import compute_metrics, majority_baseline, predictions_of
from pkd_core.evaluation.predict import Array
from pkd_core.evaluation.result import EvaluationResult, write_result
from pkd_core.evaluation.speed_result import read_speed
from pkd_core.evaluation.submission import write_submission
from pkd_core.pipeline.facts import EvaluationFacts, TokensFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.own_teacher_specs import own_teacher_spec
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stages.evaluated_model import EvaluatedModel, trained_model
from pkd_core.pipeline.stages.own_answers import own_model


def evaluate(job: Job, spec: EvaluationSpec) -> EvaluationFacts:
    """Write `evaluation.json`, the answers to each labelled split, and a GLUE submission file for each other one.

    Test splits mostly carry no labels: they are predicted and never scored. One with labels is scored, and selects
    nothing.
    """
    own = own_teacher_spec(job.manifests["model"].config)
    model = trained_model(job, spec) if own is None else own_model(job, spec, own)
    tokens = job.input_facts("tokens", TokensFacts)
    tables = {
        split.name: TokenTable.load(job.inputs["tokens"], split.name)
        for split in job.task.dev_splits
        if split.name in tokens.rows
    }
    selecting = tables[job.task.dev_splits[0].name]
    scores, predicted_classes = _score(job, spec, model, tables)
    _predict_tests(job, model, tokens)
    result = EvaluationResult(
        task=job.task.name,
        method=spec.method,
        num_layers=spec.num_layers,
        seed=spec.seed,
        scores=scores,
        selection=f"dev/{job.task.metrics[0]}",
        baseline=majority_baseline(_labels(selecting), job.task.metrics[0], job.task.is_regression),
        num_dev=len(selecting),
        predicted_classes=None if job.task.is_regression else predicted_classes,
        parameters=model.num_parameters,
        size_bytes=model.size_bytes,
        speed=read_speed(job.inputs["speed"]) if "speed" in job.inputs else None,
        best_epoch=model.best_epoch,
        precision=model.precision,
        settings=model.settings,
        hidden_size=model.hidden_size,
        skipped_lines={name: len(lines) for name, lines in tokens.skipped_lines.items()},
    )
    write_result(job.work, result)
    return EvaluationFacts(score=result.score, speed_ratio=result.speed_ratio)


def _score(
    job: Job, spec: EvaluationSpec, model: EvaluatedModel, tables: dict[str, TokenTable]
) -> tuple[dict[str, float], int]:
    """Return the scores of every split, and how many different answers are given to the first one."""
    scores: dict[str, float] = {}
    predicted_classes = []
    for name, table in tables.items():
        logits = model.predict(job.task.split(name), table)
        write_answers(job.work, name, table.example_ids_R, _labels(table), logits)
        answers = predictions_of(_labels(table), logits, job.task.is_regression)
        predicted_classes.append(len(np.unique(answers, axis=0)))
        metrics = compute_metrics(spec.metrics, _labels(table), logits, job.task.is_regression)
        scores |= {f"{name}/{metric}": value for metric, value in metrics.items()}
    return scores, predicted_classes[0]


def _predict_tests(job: Job, model: EvaluatedModel, tokens: TokensFacts) -> None:
    for split in job.task.test_splits:
        if split.name in tokens.rows:
            table = TokenTable.load(job.inputs["tokens"], split.name)
            logits = model.predict(split, table)
            path = job.work / "submission" / (split.submission or f"{split.name}.tsv")
            path.parent.mkdir(exist_ok=True)
            write_submission(path, job.task, table.example_ids_R, logits)


def _labels(table: TokenTable) -> Array:
    assert table.labels_R is not None, "dev splits are labelled"
    return table.labels_R
