"""Stage: the teacher's logits and [CLS] states of every training example, or of a transfer set, in Arrow shards."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from pkd_core.data.token_table import TokenTable
from pkd_core.data.transfer_set import SPLIT
from pkd_core.errors import TrainingError
from pkd_core.evaluation.metrics import majority_baseline
from pkd_core.model.forward import Outputs
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.facts import EvaluationFacts, TeacherStatesFacts, TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec, own_teacher_spec
from pkd_core.pipeline.specs import TeacherStatesSpec
from pkd_core.pipeline.stages.own_answers import load_own_teacher
from pkd_core.pipeline.stages.own_texts import texts_of, transfer_texts
from pkd_core.teacher_states.extraction import extract, write_states
from pkd_core.teacher_states.format import StatesShape

logger = logging.getLogger(__name__)


def extract_states(job: Job, spec: TeacherStatesSpec) -> TeacherStatesFacts:
    """Run the teacher once over the training split, or over the transfer set."""
    own = own_teacher_spec(job.manifests["teacher"].config)
    score = job.input_facts("teacher", TrainingFacts).best_score if own is None else _own_score(job)
    _check_teacher(job, score)
    transfer = job.inputs.get("transfer")
    table = TokenTable.load(transfer, SPLIT) if transfer else TokenTable.load(job.inputs["tokens"], "train")
    if own is not None:
        return TeacherStatesFacts(**_extract_own(job, spec, own, table))
    facts = extract(
        load_classifier(job.inputs["teacher"]),
        table,
        job.work,
        spec.states.dtype,
        job.observer,
        device=job.context.device,
        finished=job.finished,
        group=job.group,
    )
    return TeacherStatesFacts(**facts)


def _extract_own(job: Job, spec: TeacherStatesSpec, own: OwnTeacherSpec, table: TokenTable) -> dict[str, Any]:
    """Write the states of an own teacher, which reads the texts of the table's examples."""
    texts = (
        transfer_texts(job, table) if "transfer" in job.inputs else texts_of(job, job.task.train_split, table)
    )
    teacher = load_own_teacher(job.inputs["teacher"], own, job.task)
    shape = StatesShape(teacher.num_layers, teacher.hidden_size, job.task.num_outputs, spec.states.dtype)

    def run(windows: Sequence[range]) -> Iterator[Outputs]:
        return teacher.run(texts, job.context.device, windows)

    return write_states(
        run,
        table.example_ids_R,
        shape,
        job.work,
        job.observer,
        finished=job.finished,
        group=job.group,
    )


def _own_score(job: Job) -> float:
    return job.input_facts("evaluation", EvaluationFacts).score


def _check_teacher(job: Job, score: float) -> None:
    """Warn, before days are spent on distilling it, of a teacher that is no better than the most frequent answer.

    Raises:
        TrainingError: If the run is strict.
    """
    task = job.task
    labels_R = TokenTable.load(job.inputs["tokens"], task.dev_splits[0].name).labels_R
    assert labels_R is not None, "the dev split has labels"
    baseline = majority_baseline(labels_R, task.metrics[0], task.is_regression)
    if score > baseline:
        return
    remedy = (
        "give another --teacher"
        if "evaluation" in job.inputs
        else "train it with another learning rate or longer"
    )
    sentence = (
        f"{job.stage.key} needs a teacher that is better than always giving the most frequent answer "
        f"({task.metrics[0]} {baseline:.3f} on dev), got {score:.3f}; {remedy}"
    )
    if job.context.options.strict:
        raise TrainingError(sentence)
    logger.warning("%s (--strict stops here)", sentence)
