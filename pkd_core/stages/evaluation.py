"""Stage: score a model on the labelled dev splits, predict the unlabelled ones, weigh and time it."""

import json
from collections.abc import Mapping
from typing import Any

from transformers import BertForSequenceClassification

from pkd_core.config import EvaluationConfig
from pkd_core.data.batches import TokenTable
from pkd_core.data.tokens import has_split
from pkd_core.engine.evaluation import count_parameters, predict
from pkd_core.engine.metrics import compute_metrics, majority_baseline
from pkd_core.engine.models import load_finetuned
from pkd_core.engine.speed import speed_ratio
from pkd_core.engine.submission import write_submission
from pkd_core.stages.job import Job


def evaluate(job: Job) -> dict[str, Any]:
    """Write `evaluation.json` and a GLUE submission file for each test split; return score and speed.

    Test splits carry no labels: they are predicted and never scored.
    """
    task, config = job.task, job.stage.config
    model = load_finetuned(job.inputs["model"]).to(job.context.torch_device)
    scores, baseline, num_dev = _score(job, model)
    _predict_tests(job, model)
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
        "settings": _dotted(trained["config"]),
    }
    (job.work / "evaluation.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return {"score": scores[told["selection"]], "speed_ratio": told["speed_ratio"]}


def _score(job: Job, model: BertForSequenceClassification) -> tuple[dict[str, float], float, int]:
    task = job.task
    tables = {split.name: TokenTable.load(job.inputs["tokens"], split.name) for split in task.dev_splits}
    scores: dict[str, float] = {}
    for name, table in tables.items():
        _, logits = predict(model, table, job.context.torch_device)
        assert table.labels is not None, "dev splits are labelled"
        metrics = compute_metrics(task.metrics, table.labels, logits, task.is_regression)
        scores |= {f"{name}/{metric}": value for metric, value in metrics.items()}
    first = tables[task.dev_splits[0].name]
    assert first.labels is not None, "dev splits are labelled"
    return scores, majority_baseline(first.labels, task.metrics[0], task.is_regression), len(first)


def _predict_tests(job: Job, model: BertForSequenceClassification) -> None:
    for split in job.task.test_splits:
        if has_split(job.inputs["tokens"], split.name):
            table = TokenTable.load(job.inputs["tokens"], split.name)
            example_ids, logits = predict(model, table, job.context.torch_device)
            path = job.work / "submission" / (split.submission or f"{split.name}.tsv")
            path.parent.mkdir(exist_ok=True)
            write_submission(path, job.task, example_ids, logits)


def _speed(job: Job, student: BertForSequenceClassification) -> float | None:
    if "teacher" not in job.inputs:
        return None
    settings = EvaluationConfig.model_validate(job.stage.config["evaluation"])
    teacher = load_finetuned(job.inputs["teacher"]).to(job.context.torch_device)
    table = TokenTable.load(job.inputs["tokens"], job.task.dev_splits[0].name)
    return speed_ratio(student, teacher, table, settings.speed_repeats, job.context.torch_device)


def _dotted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training stage's configuration under the dotted keys that a user would type."""
    section = "teacher" if config["method"] == "teacher" else "student"
    dotted = {f"{section}.{key}": value for key, value in config["training"].items()}
    dotted |= {f"distill.{key}": value for key, value in config.get("distill", {}).items()}
    if config.get("layer_map"):
        dotted["layer_map"] = " ".join(f"{student}<-{teacher}" for student, teacher in config["layer_map"])
    return dotted
