"""What an own teacher answers to texts, with its outputs in the order of the task's labels.

Shape suffixes: B examples of a window, C labels, N layers, D hidden size, R examples of a split.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pkd_core.data.task import Split, Task
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ConfigError, shortened
from pkd_core.evaluation.label_order import better_order
from pkd_core.evaluation.metrics import predictions_of
from pkd_core.evaluation.predict import Array, count_parameters
from pkd_core.evaluation.score_unit import is_other_unit
from pkd_core.model.file_checks import weight_files
from pkd_core.model.forward import Outputs
from pkd_core.model.joint_answers import mean_of_classes, mean_of_labels, mean_of_scores
from pkd_core.model.text_classifier import TextClassifier, Texts, load_text_classifier, run_texts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stages.evaluated_model import EvaluatedModel
from pkd_core.pipeline.stages.own_teacher import member_folders
from pkd_core.pipeline.stages.own_texts import texts_of


@dataclass(frozen=True)
class OwnTeacherModel:
    """The classifiers of an own teacher.

    Attributes:
        members: One, or several that answer together.
        label_orders: The output of each of the task's labels, of each member.
        task: The task.
    """

    members: Sequence[TextClassifier]
    label_orders: Sequence[Sequence[int]]
    task: Task

    @property
    def num_layers(self) -> int:
        """N of its outputs: the layers of the only member; 1 for several."""
        return self.members[0].num_layers if len(self.members) == 1 else 1

    @property
    def hidden_size(self) -> int:
        """D of its outputs: the width of the only member; of several, all together."""
        return sum(member.hidden_size for member in self.members)

    def run(
        self, texts: Texts, device: torch.device, windows: Sequence[range] | None = None
    ) -> Iterator[Outputs]:
        """Yield the outputs of a window of examples after the other; see `run_texts`.

        Several teachers have no common layers: there is one state, of the last layers side by side.
        """
        runs = (run_texts(member, texts, device, windows=windows) for member in self.members)
        for outputs in zip(*runs, strict=True):
            logits_BC = self.join(
                [one.logits_BC[:, order] for one, order in zip(outputs, self.label_orders, strict=True)]
            )
            if len(outputs) == 1:
                yield Outputs(logits_BC, outputs[0].cls_states_BND)
            else:
                last_B1D = torch.cat([one.cls_states_BND[:, -1:] for one in outputs], dim=-1)
                yield Outputs(logits_BC, last_B1D)

    def join(self, logits_BC: Sequence[Tensor]) -> Tensor:
        """Return the joint answer of all members, given each one's."""
        if len(logits_BC) == 1:
            return logits_BC[0]
        if self.task.is_regression:
            return mean_of_scores(logits_BC)
        return (mean_of_labels if self.task.multi_label else mean_of_classes)(logits_BC)


def load_own_teacher(folder: Path, spec: OwnTeacherSpec, task: Task) -> OwnTeacherModel:
    """Load the published copy of an own teacher.

    Raises:
        ModelError: A member is not complete.
    """
    members = [load_text_classifier(one) for one in member_folders(folder, spec)]
    return OwnTeacherModel(members, [list(order) for order in spec.label_orders], task)


def own_model(job: Job, spec: EvaluationSpec, own: OwnTeacherSpec) -> EvaluatedModel:
    """Return an own teacher as a model to be scored; the order of its outputs is checked on the selecting dev split."""
    folder = job.inputs["model"]
    model = load_own_teacher(folder, own, job.task)
    folders = member_folders(folder, own)

    def predict(split: Split, table: TokenTable) -> Array:
        texts = texts_of(job, split, table)
        logits = []
        num_rows = len(model.members) * len(table)
        job.observer.progress(0, num_rows, "examples")
        for number, member in enumerate(model.members):
            parts = []
            for outputs in run_texts(member, texts, job.context.device, spec.evaluation.max_tokens):
                parts.append(outputs.logits_BC[:, model.label_orders[number]])
                num_done = number * len(table) + sum(map(len, parts))
                job.observer.progress(num_done, num_rows, "examples")
            logits.append(torch.cat(parts))
            if split.name == job.task.dev_splits[0].name:
                _check_answers(job, number, table, logits[-1].numpy(), named=own.named[number])
        return model.join(logits).numpy()

    return EvaluatedModel(
        predict,
        num_parameters=sum(count_parameters(member.model) for member in model.members),
        size_bytes=sum((one / name).stat().st_size for one in folders for name in weight_files(one)),
        hidden_size=max(member.hidden_size for member in model.members),
        best_epoch=None,
        precision="float32",
        settings={},
    )


def _check_answers(job: Job, number: int, table: TokenTable, logits_RC: Array, *, named: bool) -> None:
    """Check that a teacher's answers mean what the labels mean: in their unit, or in their order.

    Raises:
        ConfigError: They do not.
    """
    assert table.labels_R is not None, "the dev split has labels"
    if job.task.is_regression:
        _check_unit(job, number, table.labels_R, logits_RC[:, 0])
    elif not named:
        _check_order(job, number, table.labels_R, logits_RC)


def _check_unit(job: Job, number: int, labels_R: Array, answers_R: Array) -> None:
    """Check that a teacher's scores are in the unit of the labels.

    Raises:
        ConfigError: They are in another one.
    """
    if not is_other_unit(labels_R, answers_R):
        return
    given, found = (
        f"from {values_R.min():.4g} to {values_R.max():.4g}" for values_R in (labels_R, answers_R)
    )
    raise ConfigError(
        f"the scores of {job.task.name} are {given} on dev, and those of {job.context.own_teachers[number].name} "
        f"follow them in another unit, {found}: students would learn to answer between the two; give the data's scores "
        "in the teacher's unit, or a teacher that was trained on scores like these."
    )


def _check_order(job: Job, number: int, labels_R: Array, logits_RC: Array) -> None:
    """Check that no other order of a teacher's outputs fits the labels clearly better.

    Raises:
        ConfigError: One does.
    """
    answers_R = predictions_of(labels_R, logits_RC, is_regression=False)
    is_label_RC, is_answer_RC = (_has_label(values_R, job.task) for values_R in (labels_R, answers_R))
    order = better_order(is_label_RC, is_answer_RC)
    if order is None:
        return
    teacher = job.context.own_teachers[number]
    # The outputs were put into the order of the labels before.
    given = job.manifests["model"].config["label_orders"][number]
    labels = {str(given[output]): job.task.labels[label] for label, output in enumerate(order)}
    names = json.dumps(dict(sorted(labels.items(), key=lambda item: int(item[0]))), ensure_ascii=False)
    raise ConfigError(
        f"the labels of {teacher.name} have no names, and its answers on dev fit another order than that of "
        f"{job.task.name} clearly better; if this is right, write it into its config.json: "
        f'"id2label": {shortened(names, 1500)}.'
    )


def _has_label(values_R: Array, task: Task) -> Array:
    """Return whether each example has each label (R, C), given classes (R,), or 0 and 1 for each label (R, C)."""
    return np.asarray(values_R > 0 if task.multi_label else values_R[:, None] == np.arange(len(task.labels)))
