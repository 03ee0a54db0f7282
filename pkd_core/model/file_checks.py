"""Looks whether a pretrained BERT's tokenizer and weights are whole and fit each other, without reading the weights."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import BertConfig

from pkd_core.errors import ModelError

_WORDS = "embeddings.word_embeddings.weight"


def check_model(name: str, folder: Path, config: BertConfig) -> None:
    """Check a pretrained model's files.

    Args:
        name: As the user gave it.
        folder: Holds `tokenizer.json` and safetensors.
        config: The model's own.

    Raises:
        ModelError: One of them cannot be read, or the tokenizer is not BERT's or knows more words than the model.
    """
    tokenizer = _read_tokenizer(name, folder)
    if (tokenizer.num_special_tokens_to_add(False), tokenizer.num_special_tokens_to_add(True)) != (2, 3):
        raise ModelError(
            f"{name} needs a BERT tokenizer, which puts [CLS] before and [SEP] after each text; "
            "save the model's own tokenizer beside its weights"
        )
    num_words = tokenizer.get_vocab_size(with_added_tokens=True)
    if num_words > config.vocab_size:
        raise ModelError(
            f"{name} has embeddings for {config.vocab_size} words, and a tokenizer that knows {num_words}; "
            "save the model's own tokenizer beside its weights"
        )
    for path in sorted(folder.glob("*.safetensors")):
        _check_header(path, config.vocab_size)


def _read_tokenizer(name: str, folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers itself raises nothing more special
        raise ModelError(
            f"{name} has a tokenizer.json that cannot be read ({error}); fetch the model again"
        ) from error


def _check_header(path: Path, vocab_size: int) -> None:
    """Read the names and sizes alone: a file that was cut short already shows there."""
    try:
        with safe_open(path, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 (no mapping)
                rows = weights.get_slice(key).get_shape()[0] if key.endswith(_WORDS) else vocab_size
                if rows != vocab_size:
                    raise ModelError(
                        f"{path}: expected embeddings for the {vocab_size} words of config.json, got {rows}; "
                        "fetch the model again"
                    )
    except (OSError, SafetensorError, IndexError) as error:
        raise ModelError(f"{path}: expected whole safetensors, got {error}; fetch the model again") from error
