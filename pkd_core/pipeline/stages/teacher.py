"""Stage: fine-tune the pretrained model into the teacher."""

from typing import Any

from pkd_core.config.settings import TeacherConfig
from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.stages.train_and_save import train_and_save


def train_teacher(job: Job) -> dict[str, Any]:
    """Fine-tune on the task's labels, keep the best epoch's checkpoint; return its score and how it was trained."""
    settings = TeacherConfig.model_validate(job.stage.config["training"])
    model = build_classifier(job.context.model_folder, job.task, settings.seed)
    return train_and_save(job, model, settings, settings.seed, objective=None)
