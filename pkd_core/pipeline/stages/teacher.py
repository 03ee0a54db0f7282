"""Stage: fine-tune the pretrained model into the teacher."""

from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.facts import TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TeacherSpec
from pkd_core.pipeline.stages.train_and_save import train_and_save


def train_teacher(job: Job, spec: TeacherSpec) -> TrainingFacts:
    """Fine-tune on the task's labels and keep the best epoch's weights."""
    model = build_classifier(job.model_folder, job.task, spec.seed)
    return train_and_save(job, spec, model, objective=None)
