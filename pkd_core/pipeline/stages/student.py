"""Stage: train a student, with the teacher's stored states or without."""

from typing import Any

from pkd_core.config.settings import DistillConfig, StudentConfig
from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.stages.train_and_save import train_and_save
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.loop import Objective


def train_student(job: Job) -> dict[str, Any]:
    """Train by the stage's method, keep the best epoch's checkpoint; return its score and how it was trained."""
    config = job.stage.config
    settings = StudentConfig.model_validate(config["training"])
    source = job.inputs.get("teacher", job.context.model_folder)
    model = build_classifier(source, job.task, config["seed"], config["initial_layers"])
    return train_and_save(job, model, settings, config["seed"], _objective(job))


def _objective(job: Job) -> Objective | None:
    config = job.stage.config
    if "states" not in job.inputs:
        return None
    layer_map = tuple((student, teacher) for student, teacher in config["layer_map"])
    distill = DistillConfig.model_validate(config["distill"])
    return Objective(
        alpha=distill.alpha,
        temperature=distill.temperature,
        beta=distill.beta if layer_map else 0.0,
        normalize=distill.normalize,
        distillation_reduction=distill.distillation_reduction,
        patience_reduction=distill.patience_reduction,
        layer_map=layer_map,
        teacher_states=TeacherStates.open(job.inputs["states"]),
    )
