"""Stage: train a student, with the teacher's stored states or without."""

from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.facts import TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import DistillSpec, PatientDistillSpec, StudentSpec
from pkd_core.pipeline.stages.train_and_save import train_and_save
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.objective import Objective


def train_student(job: Job, spec: StudentSpec) -> TrainingFacts:
    """Train by the stage's method and keep the best epoch's weights."""
    source = job.inputs.get("teacher", job.context.model_folder)
    model = build_classifier(source, job.task, spec.seed, spec.initial_layers)
    return train_and_save(job, spec, model, _objective(job, spec))


def _objective(job: Job, spec: StudentSpec) -> Objective | None:
    match spec.distill:
        case None:
            return None
        case PatientDistillSpec() as distill:
            return Objective(
                alpha=distill.alpha,
                temperature=distill.temperature,
                distillation_reduction=distill.distillation_reduction,
                beta=distill.beta,
                normalize=distill.normalize,
                patience_reduction=distill.patience_reduction,
                layer_map=spec.layer_map or (),
                teacher_states=TeacherStates.open(job.inputs["states"]),
            )
        case DistillSpec() as distill:
            return Objective(
                alpha=distill.alpha,
                temperature=distill.temperature,
                distillation_reduction=distill.distillation_reduction,
                teacher_states=TeacherStates.open(job.inputs["states"]),
            )
