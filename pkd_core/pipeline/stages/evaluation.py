"""Stage: score a model on the labelled splits except train, predict the unlabelled ones, measure its size."""

import numpy as np
import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.answers import write_answers
from pkd_core.evaluation.metrics import compute_metrics, majority_baseline, predictions_of
from pkd_core.evaluation.predict import Array, count_parameters, predict
from pkd_core.evaluation.result import EvaluationResult, write_result
from pkd_core.evaluation.speed_result import read_speed
from pkd_core.evaluation.submission import write_submission
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.facts import EvaluationFacts, TokensFacts, TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import EvaluationSpec, parse_training_spec


def evaluate(job: Job, spec: EvaluationSpec) -> EvaluationFacts:
    """Write `evaluation.json`, the answers to each labelled split, and a GLUE submission file for each other one.

    Test splits mostly carry no labels: they are predicted and never scored. One with labels is scored, and selects
    nothing.
    """
    model = load_classifier(job.inputs["model"])
    torch.nn.Module.to(model, job.context.device)  # transformers' own `to` carries no types
    tokens = job.input_facts("tokens", TokensFacts)
    tables = {
        split.name: TokenTable.load(job.inputs["tokens"], split.name)
        for split in job.task.dev_splits
        if split.name in tokens.rows
    }
    selecting = tables[job.task.dev_splits[0].name]
    scores, predicted_classes = _score(job, spec, model, tables)
    _predict_tests(job, spec, model, tokens)
    training = job.input_facts("model", TrainingFacts)
    trained = parse_training_spec(job.manifests["model"].config)
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
        parameters=count_parameters(model),
        size_bytes=(job.inputs["model"] / "model.safetensors").stat().st_size,
        speed=read_speed(job.inputs["speed"]) if "speed" in job.inputs else None,
        best_epoch=training.best_epoch,
        precision=training.precision,
        settings=trained.dotted_settings(),
        hidden_size=model.config.hidden_size,
        skipped_lines={name: len(lines) for name, lines in tokens.skipped_lines.items()},
    )
    write_result(job.work, result)
    return EvaluationFacts(score=result.score, speed_ratio=result.speed_ratio)


def _score(
    job: Job, spec: EvaluationSpec, model: BertForSequenceClassification, tables: dict[str, TokenTable]
) -> tuple[dict[str, float], int]:
    """Return the scores of every split, and how many different answers are given to the first one."""
    scores: dict[str, float] = {}
    predicted_classes = []
    for name, table in tables.items():
        example_ids, logits = _predict(job, spec, model, table)
        write_answers(job.work, name, example_ids, _labels(table), logits)
        answers = predictions_of(_labels(table), logits, job.task.is_regression)
        predicted_classes.append(len(np.unique(answers, axis=0)))
        metrics = compute_metrics(spec.metrics, _labels(table), logits, job.task.is_regression)
        scores |= {f"{name}/{metric}": value for metric, value in metrics.items()}
    return scores, predicted_classes[0]


def _predict_tests(
    job: Job, spec: EvaluationSpec, model: BertForSequenceClassification, tokens: TokensFacts
) -> None:
    for split in job.task.test_splits:
        if split.name in tokens.rows:
            table = TokenTable.load(job.inputs["tokens"], split.name)
            example_ids, logits = _predict(job, spec, model, table)
            path = job.work / "submission" / (split.submission or f"{split.name}.tsv")
            path.parent.mkdir(exist_ok=True)
            write_submission(path, job.task, example_ids, logits)


def _predict(
    job: Job, spec: EvaluationSpec, model: BertForSequenceClassification, table: TokenTable
) -> tuple[Array, Array]:
    def observe(num_done: int) -> None:
        job.observer.progress(num_done, len(table), "examples")

    return predict(model, table, job.context.device, spec.evaluation.max_tokens, observe)


def _labels(table: TokenTable) -> Array:
    assert table.labels_R is not None, "dev splits are labelled"
    return table.labels_R
