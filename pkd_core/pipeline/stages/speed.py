"""Stage: how much faster than the teacher a student of some depth is, on this machine."""

from dataclasses import replace
from pathlib import Path

import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ConfigError
from pkd_core.evaluation.speed import measure_speed
from pkd_core.evaluation.speed_result import write_speed
from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.facts import SpeedFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import SpeedSpec
from pkd_core.runtime.device import model_of
from pkd_core.runtime.threads import computing_with


def time_depth(job: Job, spec: SpeedSpec) -> SpeedFacts:
    """Write `speed.json`: the first layers of the students' pretrained model, timed against all of the teacher's.

    The values of weights do not change the time, so that no trained model is waited for.

    Raises:
        ConfigError: The run was planned for another machine or device than this.
    """
    device = job.context.device
    machine = model_of(device)
    if machine != spec.machine:
        raise ConfigError(
            f"{job.stage.key} was planned for {spec.machine}, and this run computes on {machine}; plan and run with "
            "the same --device, on one machine."
        )

    def observe(done: int, total: int) -> None:
        job.observer.progress(done, total, "seconds at most")

    table = TokenTable.load(job.inputs["tokens"], job.task.dev_splits[0].name)
    with computing_with(spec.speed.threads):
        student = _build(job.model_folder, job, spec.num_layers)
        teacher = _build(job.context.model.folder, job, spec.num_teacher_layers)
        # Two pretrained models may have different vocabularies; the values of token ids do not change the time.
        vocab_size = min(student.config.vocab_size, teacher.config.vocab_size)
        speed = measure_speed(
            student,
            teacher,
            replace(table, input_ids=table.input_ids % vocab_size),
            settings=spec.speed,
            device=device,
            machine=machine,
            observe=observe,
        )
    write_speed(job.work, speed)
    return SpeedFacts(ratio=speed.ratio, spread=speed.spread)


def _build(folder: Path, job: Job, num_layers: int) -> BertForSequenceClassification:
    model = build_classifier(folder, job.task, seed=0, layers=range(1, num_layers + 1))
    torch.nn.Module.to(model, job.context.device)  # transformers' own `to` carries no types
    return model
