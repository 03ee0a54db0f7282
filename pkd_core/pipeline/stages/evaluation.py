"""Stage: score a model on the labelled dev splits, predict the unlabelled ones, weigh and time it."""

import json
from typing import Any

import torch
from transformers import BertForSequenceClassification

from pkd_core.config.settings import EvaluationConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.metrics import compute_metrics, majority_baseline
from pkd_core.evaluation.predict import Array, count_parameters, predict
from pkd_core.evaluation.speed import speed_ratio
from pkd_core.evaluation.submission import write_submission
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.stage import dotted_settings
from pkd_core.store.manifest import read_manifest


def evaluate(job: Job) -> dict[str, Any]:
    """Write `evaluation.json` and a GLUE submission file for each test split; return score and speed.

    Test splits carry no labels: they are predicted and never scored.
    """
    task, config = job.task, job.stage.config
    model = _load(job, "model")
    scores, baseline, num_dev = _score(job, model)
    _predict_tests(job, model)
    skipped = read_manifest(job.inputs["tokens"]).facts["skipped_lines"]
    trained = json.loads((job.inputs["model"] / "training.json").read_text(encoding="utf-8"))
    told = {
        "task": task.name,
        "method": config["method"],
        "num_layers": config["num_layers"],
        "seed": config["seed"],
        "scores": scores,
        "selection": f"dev/{task.metrics[0]}",
        "baseline": baseline,
        "num_dev": num_dev,
        "parameters": count_parameters(model),
        "size_bytes": (job.inputs["model"] / "model.safetensors").stat().st_size,
        "speed_ratio": _speed(job, model),
        "best_epoch": trained["best_epoch"],
        "precision": trained["precision"],
        "settings": dotted_settings(trained["config"]),
        "hidden_size": model.config.hidden_size,
        "skipped_lines": {name: len(lines) for name, lines in skipped.items()},
    }
    (job.work / "evaluation.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return {"score": scores[told["selection"]], "speed_ratio": told["speed_ratio"]}


def _score(job: Job, model: BertForSequenceClassification) -> tuple[dict[str, float], float, int]:
    task = job.task
    tables = {split.name: TokenTable.load(job.inputs["tokens"], split.name) for split in task.dev_splits}
    scores: dict[str, float] = {}
    for name, table in tables.items():
        _, logits = _predict(job, model, table)
        assert table.labels_R is not None, "dev splits are labelled"
        metrics = compute_metrics(task.metrics, table.labels_R, logits, task.is_regression)
        scores |= {f"{name}/{metric}": value for metric, value in metrics.items()}
    first = tables[task.dev_splits[0].name]
    assert first.labels_R is not None, "dev splits are labelled"
    return scores, majority_baseline(first.labels_R, task.metrics[0], task.is_regression), len(first)


def _predict_tests(job: Job, model: BertForSequenceClassification) -> None:
    tokenized = read_manifest(job.inputs["tokens"]).facts["rows"]
    for split in job.task.test_splits:
        if split.name in tokenized:
            table = TokenTable.load(job.inputs["tokens"], split.name)
            example_ids, logits = _predict(job, model, table)
            path = job.work / "submission" / (split.submission or f"{split.name}.tsv")
            path.parent.mkdir(exist_ok=True)
            write_submission(path, job.task, example_ids, logits)


def _predict(job: Job, model: BertForSequenceClassification, table: TokenTable) -> tuple[Array, Array]:
    def observe(num_done: int) -> None:
        job.observer.progress(num_done, len(table), "examples")

    return predict(model, table, job.context.torch_device, _settings(job).max_tokens, observe)


def _speed(job: Job, student: BertForSequenceClassification) -> float | None:
    if "teacher" not in job.inputs:
        return None
    teacher = _load(job, "teacher")
    table = TokenTable.load(job.inputs["tokens"], job.task.dev_splits[0].name)
    repeats = _settings(job).speed_repeats

    def observe(num_done: int) -> None:
        job.observer.progress(num_done, repeats, "timed turns")

    return speed_ratio(student, teacher, table, repeats, job.context.torch_device, observe)


def _load(job: Job, part: str) -> BertForSequenceClassification:
    model = load_classifier(job.inputs[part])
    torch.nn.Module.to(model, job.context.torch_device)  # transformers' own `to` carries no types
    return model


def _settings(job: Job) -> EvaluationConfig:
    return EvaluationConfig.model_validate(job.stage.config["evaluation"])
