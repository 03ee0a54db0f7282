"""What an export is made from: a model trained here, or an own teacher. Shape suffixes: R texts, C outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkd_core.data.tokenize import text_encoder
from pkd_core.evaluation.predict import predict
from pkd_core.export.bundle import Bundle
from pkd_core.export.onnx_files import BERT_INPUTS
from pkd_core.model.loading import load_classifier
from pkd_core.model.text_classifier import load_text_classifier, run_texts
from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec, own_teacher_spec

Array = np.ndarray[Any, Any]
Texts = Sequence[tuple[str, ...]]

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ExportSource:
    """A model to be exported.

    Attributes:
        folder: The classifier with its tokenizer.
        bundle: What its bundle says of it.
        inputs: Names of its inputs; None for those that its tokenizer gives.
        label_order: The output of each of the task's labels.
        logits: Torch's outputs for texts, (R, C), in the model's order.
    """

    folder: Path
    bundle: Bundle
    inputs: tuple[str, ...] | None
    label_order: list[int]
    logits: Callable[[Texts], Array]


def find_source(job: Job, spec: ExportSpec) -> ExportSource:
    """Return what a stage exports.

    Raises:
        ModelError: An own teacher is not complete.
    """
    folder, own = job.inputs["model"], own_teacher_spec(job.manifests["model"].config)
    bundle = Bundle.of(job.task, spec.max_length)
    if own is None:
        order = list(range(len(bundle.labels)))
        return ExportSource(folder, bundle, BERT_INPUTS, order, _logits_of_bert(folder, bundle.max_length))
    return _own_teacher(folder, bundle, own)


def _logits_of_bert(folder: Path, max_length: int) -> Callable[[Texts], Array]:
    """Return the outputs that an evaluation would compute."""
    return lambda texts: predict(load_classifier(folder), text_encoder(folder, max_length)(texts), _CPU)[1]


def _own_teacher(folder: Path, bundle: Bundle, own: OwnTeacherSpec) -> ExportSource:
    classifier = load_text_classifier(folder)
    order = list(own.label_orders[0])
    # The names of the outputs in the model's own order.
    labels = tuple(bundle.labels[order.index(output)] for output in range(len(order)))

    def logits(texts: Texts) -> Array:
        return torch.cat([outputs.logits_BC for outputs in run_texts(classifier, texts, _CPU)]).numpy()

    own_bundle = replace(bundle, labels=labels, max_length=classifier.max_length)
    return ExportSource(folder, own_bundle, None, order, logits)
