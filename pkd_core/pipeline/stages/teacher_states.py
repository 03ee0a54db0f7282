"""Stage: the teacher's logits and [CLS] states of every training example, in Arrow shards."""

import logging
from typing import Any

from pkd_core.data.token_table import TokenTable
from pkd_core.errors import TrainingError
from pkd_core.evaluation.metrics import majority_baseline
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.job import Job
from pkd_core.store.manifest import read_manifest
from pkd_core.teacher_states.extraction import extract

logger = logging.getLogger(__name__)


def extract_states(job: Job) -> dict[str, Any]:
    """Run the teacher once over the training split; return rows, bytes and shape."""
    _check_teacher(job)
    return extract(
        load_classifier(job.inputs["teacher"]),
        TokenTable.load(job.inputs["tokens"], "train"),
        job.work,
        job.stage.config["states"]["dtype"],
        job.observer,
        device=job.context.torch_device,
    )


def _check_teacher(job: Job) -> None:
    """Tell, before days are spent on distilling it, of a teacher that knows no more than the most frequent answer.

    Raises:
        TrainingError: If the run is strict.
    """
    task = job.task
    labels_R = TokenTable.load(job.inputs["tokens"], task.dev_splits[0].name).labels_R
    assert labels_R is not None, "the dev split has labels"
    baseline = majority_baseline(labels_R, task.metrics[0], task.is_regression)
    score = read_manifest(job.inputs["teacher"]).facts["best_score"]
    if score > baseline:
        return
    sentence = (
        f"{job.stage.key} needs a teacher that is better than always giving the most frequent answer "
        f"({task.metrics[0]} {baseline:.3f} on dev), got {score:.3f}; train it with another learning rate or longer"
    )
    if job.context.strict:
        raise TrainingError(sentence)
    logger.warning("%s (--strict stops here)", sentence)
