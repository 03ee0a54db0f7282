"""A model that a stage scores, whatever reads its examples: tokens that students share, or texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pkd_core.data.task import Split
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.predict import Array, count_parameters, predict
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.facts import TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import EvaluationSpec, parse_training_spec


@dataclass(frozen=True)
class EvaluatedModel:
    """A model, and what is reported of it beside its scores.

    Attributes:
        predict: Returns the logits (R, C) of a split's examples in the order of its tokens.
        num_parameters: Number of weights.
        size_bytes: Size of the weights' files.
        hidden_size: Width D.
        best_epoch: Epoch whose weights were kept; None if it was not trained here.
        precision: What the forward of its training computed in.
        settings: Settings of its training, by dotted key.
    """

    predict: Callable[[Split, TokenTable], Array]
    num_parameters: int
    size_bytes: int
    hidden_size: int
    best_epoch: int | None
    precision: str
    settings: Mapping[str, Any]


def trained_model(job: Job, spec: EvaluationSpec) -> EvaluatedModel:
    """Return the model that a stage has trained."""
    model = load_classifier(job.inputs["model"])
    torch.nn.Module.to(model, job.context.device)  # transformers' own `to` carries no types
    training = job.input_facts("model", TrainingFacts)

    def predict_split(_: Split, table: TokenTable) -> Array:
        def observe(num_done: int) -> None:
            job.observer.progress(num_done, len(table), "examples")

        observe(0)
        return predict(model, table, job.context.device, spec.evaluation.max_tokens, observe)[1]

    return EvaluatedModel(
        predict_split,
        num_parameters=count_parameters(model),
        size_bytes=(job.inputs["model"] / "model.safetensors").stat().st_size,
        hidden_size=model.config.hidden_size,
        best_epoch=training.best_epoch,
        precision=training.precision,
        settings=parse_training_spec(job.manifests["model"].config).dotted_settings(),
    )
