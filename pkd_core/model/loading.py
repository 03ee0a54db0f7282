"""BERT classifiers from local folders, and into them."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from pkd_core.data.task import Task
from pkd_core.errors import ModelError

logger = logging.getLogger(__name__)

_WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
# Everything else of a checkpoint must be there; a bare body has no classifier, and some have no pooler.
_REPLACEABLE = ("classifier.", "bert.pooler.")


def model_config(folder: Path) -> BertConfig:
    """Read a model folder's `config.json`.

    Raises:
        ModelError: If there is none, it is unreadable, or the model is no BERT.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        model_type = values.get("model_type")
    except FileNotFoundError:
        raise ModelError(f"{folder}: expected a model folder, found no config.json; choose another") from None
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: expected a readable JSON object, got {error}; fetch it again") from error
    if model_type != "bert":
        raise ModelError(f"{folder}: expected a BERT model, got {model_type!r}; choose a BERT")
    try:
        return BertConfig.from_dict(values)
    except Exception as error:  # whatever transformers, and what it checks with, make of a wrong value
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{path}: expected a BERT's settings, got wrong ones ({reason}); fetch it again"
        ) from error


def check_weights(folder: Path) -> None:
    """Check that a folder has weights of the one kind that runs no code when read.

    Raises:
        ModelError: If it has no safetensors.
    """
    if any((folder / name).is_file() for name in _WEIGHT_FILES):
        return
    if (folder / "pytorch_model.bin").is_file():
        raise ModelError(
            f"{folder}: expected model.safetensors, found pickled weights; load them once with transformers and save "
            "them with save_pretrained"
        )
    raise ModelError(f"{folder}: expected model.safetensors, found no weights; fetch the model again")


def load_teacher(folder: Path, task: Task, seed: int) -> BertForSequenceClassification:
    """Load a pretrained model and give it a new random classifier for the task.

    Args:
        folder: A BERT in safetensors, bare or with any head.
        task: Says how many outputs, and what they are called.
        seed: Of the new weights.

    Raises:
        ModelError: If the folder holds no usable BERT.
    """
    config = model_config(folder)
    _set_task(config, task)
    model, absent = _load(folder, config)
    _check_body(folder, absent)
    generator = torch.Generator().manual_seed(seed)
    _reset(model.classifier, config.initializer_range, generator)
    if model.bert.pooler is not None and "bert.pooler.dense.weight" in absent:
        logger.info("%s has no pooler; a random one is trained with the classifier", folder)
        _reset(model.bert.pooler.dense, config.initializer_range, generator)
    return model


def load_student(folder: Path, task: Task, layers: Sequence[int], seed: int) -> BertForSequenceClassification:
    """Build a student from another model's embeddings, chosen layers and pooler; its classifier is new.

    Args:
        folder: A pretrained model, or a fine-tuned teacher.
        task: Says how many outputs, and what they are called.
        layers: Which layers of that model to copy, from 1 and rising; their number is the student's depth.
        seed: Of the new weights.

    Raises:
        ModelError: If the folder holds no usable BERT, or not those layers.
    """
    depth = model_config(folder).num_hidden_layers
    if not layers or list(layers) != sorted(set(layers)) or layers[0] < 1 or layers[-1] > depth:
        raise ModelError(
            f"{folder}: expected rising layers from 1 to {depth}, got {list(layers)}; choose fewer"
        )
    model = load_teacher(folder, task, seed)
    encoder = model.bert.encoder
    encoder.layer = nn.ModuleList(encoder.layer[layer - 1] for layer in layers)
    model.config.num_hidden_layers = len(layers)
    return model


def load_finetuned(folder: Path) -> BertForSequenceClassification:
    """Load a fine-tuned checkpoint as it was saved.

    Raises:
        ModelError: If any of its weights is missing or of another shape.
    """
    model, absent = _load(folder, model_config(folder))
    if absent:
        raise ModelError(f"{folder}: expected a trained model, found no {min(absent)}; train it again")
    return model


def save_model(model: BertForSequenceClassification, folder: Path) -> None:
    """Write a model's configuration and weights, as transformers does."""
    model.save_pretrained(folder)


def _set_task(config: BertConfig, task: Task) -> None:
    config.id2label = dict(enumerate(task.labels or ("score",)))
    config.label2id = {label: position for position, label in config.id2label.items()}
    config.problem_type = "regression" if task.is_regression else "single_label_classification"


def _load(folder: Path, config: BertConfig) -> tuple[BertForSequenceClassification, set[str]]:
    """Load what the folder has, in float32 and evaluation mode; also name the weights that it lacks."""
    check_weights(folder)
    try:
        loaded: Any = BertForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, TypeError, ArithmeticError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: expected a whole BERT, got {' '.join(str(error).split())}; fetch the model again"
        ) from error
    model, report = loaded
    absent = set(report["missing_keys"]) | {name for name, *_shapes in report["mismatched_keys"]}
    return model, absent


def _check_body(folder: Path, absent: set[str]) -> None:
    lost = sorted(name for name in absent if not name.startswith(_REPLACEABLE))
    if lost:
        raise ModelError(
            f"{folder}: expected a whole BERT, {len(lost)} weights are absent or of another shape, such as "
            f"{lost[0]}; fetch the model again"
        )


def _reset(linear: nn.Linear, std: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        linear.weight.normal_(0.0, std, generator=generator)
        linear.bias.zero_()
