"""Stage: train a student, with the teacher's stored states or without."""

from dataclasses import replace

from transformers import BertConfig, BertForSequenceClassification

from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.facts import TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import FullDistillSpec, PatientDistillSpec, StudentSpec
from pkd_core.pipeline.stages.train_and_save import train_and_save
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.heads import Heads
from pkd_core.training.objective import Objective
from pkd_core.training.projections import Projections


def train_student(job: Job, spec: StudentSpec) -> TrainingFacts:
    """Train by the stage's method and keep the best epoch's weights."""
    model = untrained_student(job, spec)
    return train_and_save(job, spec, model, _objective(job, spec, model.config))


def untrained_student(job: Job, spec: StudentSpec) -> BertForSequenceClassification:
    """Return a student as its training begins, from the teacher if that is among the inputs."""
    source = job.inputs.get("teacher", job.model_folder)
    return build_classifier(source, job.task, spec.seed, spec.initial_layers)


def _objective(job: Job, spec: StudentSpec, config: BertConfig) -> Objective | None:
    if spec.distill is None:
        return None
    parts = [part for part in ("states", "transfer-states") if part in job.inputs]
    common = Objective(
        alpha=spec.distill.alpha,
        temperature=spec.distill.temperature,
        distillation_reduction=spec.distill.distillation_reduction,
        distillation_loss=spec.distill.distillation_loss,
        dkd_target_weight=spec.distill.dkd_target_weight,
        dkd_other_weight=spec.distill.dkd_other_weight,
        teacher_states=TeacherStates.open(*(job.inputs[part] for part in parts)),
        has_unlabelled="transfer" in job.inputs,
    )
    if isinstance(spec.distill, FullDistillSpec):
        layers = range(spec.distill.first_head_layer, spec.num_layers)
        heads = Heads(layers, config.hidden_size, job.task.num_outputs, config.initializer_range, spec.seed)
        return replace(common, heads=heads, head_weight=spec.distill.head_weight)
    if not isinstance(spec.distill, PatientDistillSpec):
        return common
    hidden_size = config.hidden_size
    layer_map, teacher_size = (
        spec.layer_map or (),
        common.teacher_states.shape.hidden_size // job.task.num_choices,
    )
    is_projected = bool(spec.distill.beta) and hidden_size != teacher_size
    return replace(
        common,
        beta=spec.distill.beta,
        normalize=spec.distill.normalize,
        patience_reduction=spec.distill.patience_reduction,
        layer_map=layer_map,
        projections=Projections(len(layer_map), hidden_size, teacher_size, spec.seed)
        if is_projected
        else None,
    )
