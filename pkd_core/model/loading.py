"""BERT classifiers, built from pretrained models, loaded from and saved to local folders; masked-language models."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertForMultipleChoice, BertForSequenceClassification

from pkd_core.data.task import Task
from pkd_core.errors import ModelError, reason
from pkd_core.model.file_checks import read_config, weight_files

logger = logging.getLogger(__name__)

# All other weights must be in the folder. A pretrained model has no classifier for the task, and some have no pooler.
_REPLACEABLE = ("classifier.", "bert.pooler.")

M = TypeVar("M", BertForMaskedLM, BertForSequenceClassification)


def build_classifier(
    folder: Path, task: Task, seed: int, layers: Sequence[int] | None = None
) -> BertForSequenceClassification:
    """Build a task's classifier from another model's embeddings, layers and pooler, with a new random head.

    Args:
        folder: A BERT in safetensors, with any head or none: a pretrained model, or a fine-tuned teacher.
        task: Gives the number and the names of the outputs.
        seed: Of the new weights.
        layers: The layers of that model to copy, counted from 1, in rising order; all by default.

    Raises:
        ModelError: The folder holds no complete BERT, or not those layers.
    """
    config = read_config(folder)
    depth = config.num_hidden_layers
    layers = range(1, depth + 1) if layers is None else layers
    if not layers or list(layers) != sorted(set(layers)) or layers[0] < 1 or layers[-1] > depth:
        raise ModelError(
            f"{folder}: expected rising layers from 1 to {depth}, got {list(layers)}; choose fewer"
        )
    _set_task(config, task)
    model, absent = _load(BertForSequenceClassification, folder, config)
    _check_body(folder, absent)
    generator = torch.Generator().manual_seed(seed)
    _reset(model.classifier, config.initializer_range, generator)
    if model.bert.pooler is not None and "bert.pooler.dense.weight" in absent:
        logger.info("%s has no pooler; a random one is trained with the classifier", folder)
        _reset(model.bert.pooler.dense, config.initializer_range, generator)
    encoder = model.bert.encoder
    encoder.layer = nn.ModuleList(encoder.layer[layer - 1] for layer in layers)
    model.config.num_hidden_layers = len(layers)
    return model


def load_classifier(folder: Path) -> BertForSequenceClassification:
    """Load a fine-tuned classifier as it was saved.

    Raises:
        ModelError: Any of its weights is missing or has another shape.
    """
    model, absent = _load(BertForSequenceClassification, folder, read_config(folder))
    if absent:
        raise ModelError(f"{folder}: expected a trained model, found no {min(absent)}; train it again")
    return model


def load_masked_language_model(folder: Path) -> BertForMaskedLM:
    """Load a pretrained model with its masked-language head.

    Raises:
        ModelError: Any of its weights is missing or has another shape.
    """
    model, absent = _load(BertForMaskedLM, folder, read_config(folder))
    if absent:
        raise ModelError(
            f"{folder}: expected a BERT with its masked-language head, found no {min(absent)}; fetch the model again"
        )
    return model


def save_classifier(model: BertForSequenceClassification, folder: Path, num_choices: int = 1) -> None:
    """Write a model's configuration and weights, as transformers does; of several choices, as its model for them."""
    if num_choices == 1:
        model.save_pretrained(folder)
        return
    with torch.device("meta"):
        scoring = BertForMultipleChoice(model.config)
    scoring.bert, scoring.classifier = model.bert, model.classifier
    scoring.save_pretrained(folder)


def _set_task(config: BertConfig, task: Task) -> None:
    if task.num_choices > 1:
        config.id2label, config.label2id, config.problem_type = {0: "choice"}, {"choice": 0}, None
        return
    config.id2label = dict(enumerate(task.labels or ("score",)))
    config.label2id = {label: position for position, label in config.id2label.items()}
    if task.multi_label:
        config.problem_type = "multi_label_classification"
    else:
        config.problem_type = "regression" if task.is_regression else "single_label_classification"


def _load(kind: type[M], folder: Path, config: BertConfig) -> tuple[M, set[str]]:
    """Load a folder's weights in float32; return the model in evaluation mode, and the names of missing weights."""
    files = weight_files(folder)
    try:
        # Missing weights are drawn from torch's global generator, which is left as it was.
        with ExitStack() as opened, torch.random.fork_rng(devices=[]):
            weights: dict[str, Any] = {}
            for name in files:
                file = opened.enter_context(safe_open(folder / name, framework="pt"))
                # Read by transformers one after the other.
                weights |= {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            # Given a folder, transformers would read more than its weights, such as an adapter.
            loaded: Any = kind.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=torch.float32,
                attn_implementation="sdpa",
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, RuntimeError, ValueError, TypeError, ArithmeticError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: expected a complete BERT, got {reason(error)}; fetch the model again"
        ) from error
    model, report = loaded
    absent = set(report["missing_keys"]) | {name for name, *_shapes in report["mismatched_keys"]}
    return model, absent


def _check_body(folder: Path, absent: set[str]) -> None:
    lost = sorted(name for name in absent if not name.startswith(_REPLACEABLE))
    if lost:
        raise ModelError(
            f"{folder}: expected a complete BERT, {len(lost)} weights are absent or of another shape, such as "
            f"{lost[0]}; fetch the model again"
        )


def _reset(linear: nn.Linear, std: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        linear.weight.normal_(0.0, std, generator=generator)
        linear.bias.zero_()
