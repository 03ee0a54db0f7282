"""Checks of a pretrained BERT's files before anything is computed with them; no weight is read."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import BertConfig

from pkd_core.errors import ModelError

_WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
_WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"


def check_pretrained(name: str, folder: Path) -> BertConfig:
    """Check that a folder holds a BERT in safetensors with a fast tokenizer that fits it; return its configuration.

    Args:
        name: The model as the user gave it, for messages.
        folder: The folder.

    Raises:
        ModelError: A file is missing, unreadable or not a BERT's, or the tokenizer has more words than the model.
    """
    config = read_config(folder)
    check_weight_format(folder)
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{name} needs a tokenizer.json (a fast tokenizer) beside its weights, and has none; "
            "save one there with AutoTokenizer.from_pretrained(...).save_pretrained(...)."
        )
    _check_tokenizer(name, folder / "tokenizer.json", config.vocab_size)
    for path in sorted(folder.glob("*.safetensors")):
        _check_header(path, config.vocab_size)
    return config


def read_config(folder: Path) -> BertConfig:
    """Read a model folder's `config.json`.

    Raises:
        ModelError: There is none, it cannot be read, or the model is not a BERT.
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
    except Exception as error:  # transformers and its validators raise many types for a wrong value
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{path}: expected a BERT's settings, got wrong ones ({reason}); fetch it again"
        ) from error


def check_weight_format(folder: Path) -> None:
    """Check that a folder has its weights as safetensors, the only format read: it cannot run code.

    Raises:
        ModelError: It has none.
    """
    if any((folder / name).is_file() for name in _WEIGHT_FILES):
        return
    if (folder / "pytorch_model.bin").is_file():
        raise ModelError(
            f"{folder}: expected model.safetensors, found pickled weights; load them once with transformers and save "
            "them with save_pretrained"
        )
    raise ModelError(f"{folder}: expected model.safetensors, found no weights; fetch the model again")


def _check_tokenizer(name: str, path: Path, vocab_size: int) -> None:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more specific
        raise ModelError(
            f"{name} has a tokenizer.json that cannot be read ({error}); fetch the model again"
        ) from error
    if (tokenizer.num_special_tokens_to_add(False), tokenizer.num_special_tokens_to_add(True)) != (2, 3):
        raise ModelError(
            f"{name} needs a BERT tokenizer, which puts [CLS] before and [SEP] after each text; "
            "save the model's own tokenizer beside its weights"
        )
    num_words = tokenizer.get_vocab_size(with_added_tokens=True)
    if num_words > vocab_size:
        raise ModelError(
            f"{name} has embeddings for {vocab_size} words, and a tokenizer of {num_words} words; "
            "save the model's own tokenizer beside its weights"
        )


def _check_header(path: Path, vocab_size: int) -> None:
    """Check names and shapes, which the head of the file holds; opening it fails if it was cut short."""
    try:
        with safe_open(path, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 (not a mapping)
                if not key.endswith(_WORD_EMBEDDINGS):
                    continue
                num_words = weights.get_slice(key).get_shape()[0]
                if num_words != vocab_size:
                    raise ModelError(
                        f"{path}: expected embeddings for the {vocab_size} words of config.json, got {num_words}; "
                        "fetch the model again"
                    )
    except (OSError, SafetensorError, IndexError) as error:
        raise ModelError(
            f"{path}: expected complete safetensors, got {error}; fetch the model again"
        ) from error
