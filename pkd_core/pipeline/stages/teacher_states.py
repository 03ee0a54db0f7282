"""Stage: the teacher's logits and [CLS] states of every training example, or of a transfer set, in Arrow shards."""

import logging

from pkd_core.data.token_table import TokenTable
from pkd_core.data.transfer_set import SPLIT
from pkd_core.errors import TrainingError
from pkd_core.evaluation.metrics import majority_baseline
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.facts import TeacherStatesFacts, TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TeacherStatesSpec
from pkd_core.store.finished_files import FinishedFiles
from pkd_core.teacher_states.extraction import extract

logger = logging.getLogger(__name__)


def extract_states(job: Job, spec: TeacherStatesSpec) -> TeacherStatesFacts:
    """Run the teacher once over the training split, or over the transfer set."""
    _check_teacher(job)
    transfer = job.inputs.get("transfer")
    table = TokenTable.load(transfer, SPLIT) if transfer else TokenTable.load(job.inputs["tokens"], "train")
    facts = extract(
        load_classifier(job.inputs["teacher"]),
        table,
        job.work,
        spec.states.dtype,
        job.observer,
        device=job.context.device,
        finished=FinishedFiles(job.work, job.resume, job.check_inputs),
    )
    return TeacherStatesFacts(**facts)


def _check_teacher(job: Job) -> None:
    """Warn, before days are spent on distilling it, of a teacher that is no better than the most frequent answer.

    Raises:
        TrainingError: If the run is strict.
    """
    task = job.task
    labels_R = TokenTable.load(job.inputs["tokens"], task.dev_splits[0].name).labels_R
    assert labels_R is not None, "the dev split has labels"
    baseline = majority_baseline(labels_R, task.metrics[0], task.is_regression)
    score = job.input_facts("teacher", TrainingFacts).best_score
    if score > baseline:
        return
    sentence = (
        f"{job.stage.key} needs a teacher that is better than always giving the most frequent answer "
        f"({task.metrics[0]} {baseline:.3f} on dev), got {score:.3f}; train it with another learning rate or longer"
    )
    if job.context.options.strict:
        raise TrainingError(sentence)
    logger.warning("%s (--strict stops here)", sentence)
