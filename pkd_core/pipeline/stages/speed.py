"""Stage: how much faster than the teacher a student of some depth is, on this machine."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ConfigError
from pkd_core.evaluation.speed import measure_speed
from pkd_core.evaluation.speed_result import write_speed
from pkd_core.model.loading import build_classifier
from pkd_core.model.text_classifier import TextClassifier
from pkd_core.pipeline.facts import SpeedFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.own_teacher_specs import own_teacher_spec
from pkd_core.pipeline.specs import SpeedSpec
from pkd_core.pipeline.stages.own_answers import load_own_teacher
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
        teacher = _teacher(job, spec)
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


def _teacher(job: Job, spec: SpeedSpec) -> Any:
    """Return a model as large as the teacher, or an own teacher, which takes the students' tokens here."""
    if "teacher" not in job.inputs:
        return _build(job.context.folder_of(job.context.model), job, spec.num_teacher_layers)
    own = own_teacher_spec(job.manifests["teacher"].config)
    assert own is not None, job.stage.key
    members = load_own_teacher(job.inputs["teacher"], own, job.task).members
    return _OwnTeacherOfTokens(members).to(job.context.device)


class _OwnTeacherOfTokens(torch.nn.Module):
    """The members of an own teacher, one after the other, as a model of a BERT's arguments.

    Ids stand for any token of their vocabularies: the time depends on their number alone.
    """

    def __init__(self, members: Sequence[TextClassifier]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(member.model for member in members)
        self.arguments = [member.arguments for member in members]
        self.max_lengths = [member.max_length for member in members]
        self.config = SimpleNamespace(vocab_size=min(member.model.config.vocab_size for member in members))

    def forward(self, **inputs: torch.Tensor) -> Any:
        """Return the outputs of the last member."""
        outputs = None
        for model, arguments, length in zip(self.members, self.arguments, self.max_lengths, strict=True):
            own = {name: inputs[name][:, :length] for name in arguments if name in inputs}
            if "token_type_ids" in own:
                # Some families know one type only.
                own["token_type_ids"] = torch.zeros_like(own["token_type_ids"])
            outputs = model(**own)
        return outputs


def _build(folder: Path, job: Job, num_layers: int) -> BertForSequenceClassification:
    model = build_classifier(folder, job.task, seed=0, layers=range(1, num_layers + 1))
    torch.nn.Module.to(model, job.context.device)  # transformers' own `to` carries no types
    return model
