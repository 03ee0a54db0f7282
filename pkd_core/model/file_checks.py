"""Checks of a pretrained BERT's files before anything is computed with them; no weight is read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from pkd_core.config.bert_settings import BertSettings, read_bert_settings, used_settings
from pkd_core.data.model_folder import find_file, read_json_object
from pkd_core.data.tokenizer import load_tokenizer
from pkd_core.errors import ModelError, listed, quoted, reason

if TYPE_CHECKING:
    from transformers import BertConfig

_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_LANGUAGE_HEAD = "cls.predictions.transform.dense.weight"


def check_pretrained(name: str, folder: Path) -> "BertConfig":
    """Check that a folder holds a BERT in safetensors with a fast tokenizer that fits it; return its configuration.

    Args:
        name: The model as the user gave it, for messages.
        folder: The folder.

    Raises:
        ModelError: A file is missing, unreadable or not a BERT's, or settings, weights and tokenizer do not fit each
            other.
    """
    config = read_config(folder)
    weights = weight_files(folder)
    path = find_file(folder, "tokenizer.json")
    if path is None:
        raise ModelError(
            f"{name} needs a tokenizer.json (a fast tokenizer) beside its weights, and has none; "
            "save one there with AutoTokenizer.from_pretrained(...).save_pretrained(...)."
        )
    _check_tokenizer(name, path, config.vocab_size)
    shapes = {key: shape for file in weights for key, shape in read_shapes(folder / file).items()}
    _check_shapes(folder, config, shapes)
    return config


def has_language_head(folder: Path) -> bool:
    """Return whether a BERT's weights include a masked-language head, with which it was pretrained.

    Raises:
        ModelError: The weights are missing or unreadable.
    """
    return any(_LANGUAGE_HEAD in read_shapes(folder / file) for file in weight_files(folder))


def read_config(folder: Path) -> "BertConfig":
    """Read a model folder's `config.json` as transformers' own type.

    Raises:
        ModelError: There is none, it cannot be read, or it is not that of a BERT.
    """
    from transformers import BertConfig  # imports torch, which takes seconds

    with _settings_errors(folder):
        # transformers would make attributes of all others.
        return BertConfig(**used_settings(_read_values(folder)))


def read_settings(folder: Path) -> BertSettings:
    """Read a model folder's `config.json` without transformers.

    Raises:
        ModelError: There is none, it cannot be read, or it is not that of a BERT.
    """
    with _settings_errors(folder):
        return read_bert_settings(_read_values(folder))


def _read_values(folder: Path) -> dict[str, Any]:
    path = find_file(folder, _CONFIG)
    if path is None:
        raise ModelError(f"{folder}: expected a model folder, found no config.json; choose another")
    values = read_json_object(path)
    if values.get("model_type") != "bert":
        raise ModelError(
            f"{folder}: expected a BERT model, got {quoted(values.get('model_type'))}; choose a BERT"
        )
    return values


@contextmanager
def _settings_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # transformers and its validators raise many types for a wrong value
        raise ModelError(
            f"{folder / _CONFIG}: expected a BERT's settings, got wrong ones "
            f"({reason(error).removesuffix('.')}); fetch it again"
        ) from error


def weight_files(folder: Path) -> tuple[str, ...]:
    """Return the files of a folder's weights, relative to it: one, or the shards that its index names.

    Only safetensors are read: they cannot run code.

    Raises:
        ModelError: There are none, the index cannot be read, or a shard is missing or outside of the folder.
    """
    if find_file(folder, _WEIGHTS):
        return (_WEIGHTS,)
    index = find_file(folder, _INDEX)
    if index is None:
        if (folder / "pytorch_model.bin").is_file():
            raise ModelError(
                f"{folder}: expected model.safetensors, found pickled weights; load them once with transformers and "
                "save them with save_pretrained"
            )
        raise ModelError(f"{folder}: expected model.safetensors, found no weights; fetch the model again")
    shards = read_json_object(index).get("weight_map")
    if (
        not isinstance(shards, dict)
        or not shards
        or not all(isinstance(name, str) for name in shards.values())
    ):
        raise ModelError(
            f"{index}: expected a weight_map with the shard of each weight, got {quoted(shards)}; fetch it again"
        )
    names = sorted(set(shards.values()))
    missing = [name for name in names if not name.endswith(".safetensors") or find_file(folder, name) is None]
    if missing:
        raise ModelError(
            f"{index}: expected only safetensors files of this folder, which has no {listed(missing)}; "
            "fetch the model again"
        )
    return tuple(names)


def loaded_files(folder: Path) -> tuple[str, ...]:
    """Return all files that loading a model reads, relative to its folder; the tokenizer's are apart.

    Raises:
        ModelError: See `weight_files`.
    """
    weights = weight_files(folder)
    return (_CONFIG, *([] if weights == (_WEIGHTS,) else [_INDEX]), *weights)


def _check_tokenizer(name: str, path: Path, vocab_size: int) -> None:
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more specific
        raise ModelError(
            f"{name} has a tokenizer.json that cannot be read ({reason(error)}); fetch the model again"
        ) from error
    # As the tokens stage does: other files may change what tokenizer.json describes.
    tokenizer = load_tokenizer(path.parent).backend_tokenizer
    if (tokenizer.num_special_tokens_to_add(False), tokenizer.num_special_tokens_to_add(True)) != (2, 3):
        raise ModelError(
            f"{name} needs a BERT tokenizer, which puts [CLS] before and [SEP] after each text; "
            "save the model's own tokenizer beside its weights"
        )
    num_words = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if num_words > vocab_size:
        raise ModelError(
            f"{name} has embeddings for {vocab_size} words, and a tokenizer of {num_words} words; "
            "save the model's own tokenizer beside its weights"
        )


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return each weight's shape, which the head of the file holds; opening it fails if it was cut short."""
    try:
        with safe_open(path, framework="numpy") as weights:
            # Without the prefix that a model with a head has.
            return {
                key.removeprefix("bert."): tuple(weights.get_slice(key).get_shape())
                for key in weights.keys()  # noqa: SIM118 (not a mapping)
            }
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: expected complete safetensors, got {reason(error)}; fetch the model again"
        ) from error


def _check_shapes(folder: Path, config: "BertConfig", shapes: Mapping[str, tuple[int, ...]]) -> None:
    hidden, inner = config.hidden_size, config.intermediate_size
    expected = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
    }
    for layer in range(config.num_hidden_layers):
        expected[f"encoder.layer.{layer}.output.dense.weight"] = (hidden, inner)
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            found = _by(shapes[name]) if name in shapes else "no such weight"
            raise ModelError(
                f"{folder}: expected {name} of {_by(shape)} numbers by its config.json, got {found}; "
                "fetch the model again"
            )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "1"
