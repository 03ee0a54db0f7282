"""Checks of a fine-tuned classifier's files, of any family, before anything is computed with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkd_core.config.classifier_settings import FAMILIES, ClassifierSettings, read_classifier_settings
from pkd_core.data.model_folder import find_file, read_json_object
from pkd_core.data.tokenizer import ALL_TOKENIZER_FILES, load_tokenizer_of
from pkd_core.errors import ConfigError, ModelError, quoted, reason
from pkd_core.model.file_checks import loaded_files, read_shapes, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_CONFIG = "config.json"
# Of every family's classifier, whatever lies before it.
_HEAD = "classifier."
_LAST_WEIGHTS = ("classifier.weight", "classifier.out_proj.weight")
# Its code would be downloaded.
_NOT_PASSED_ON = ("auto_map", "model_type")


def family_of(folder: Path) -> str | None:
    """Return the family of a model, as its config.json says; None where it says none.

    Raises:
        ModelError: The file cannot be read.
    """
    path = find_file(folder, _CONFIG)
    family = read_json_object(path).get("model_type") if path else None
    return family if isinstance(family, str) else None


def read_classifier(name: str, folder: Path) -> ClassifierSettings:
    """Read a classifier's settings without transformers.

    Args:
        name: The classifier as the user gave it, for messages.
        folder: The folder.

    Raises:
        ModelError: There is no config.json, it cannot be read, or it is not that of a classifier of a known family.
    """
    values = _read_values(name, folder)
    family, architecture = values.get("model_type"), _architecture(values)
    if family not in FAMILIES:
        raise ModelError(
            f"{name} is of the family {quoted(family)}; give a --teacher of one of {', '.join(FAMILIES)}."
        )
    if architecture is not None and not architecture.endswith("ForSequenceClassification"):
        raise ModelError(
            f"{name} needs to be a fine-tuned classifier (...ForSequenceClassification), and is a "
            f"{quoted(architecture)}; fine-tune it first, or run without --teacher to have a BERT fine-tuned."
        )
    try:
        return read_classifier_settings(values)
    except ConfigError as error:
        raise ModelError(f"{folder / _CONFIG}: expected a classifier's settings, but {error}") from error


def classifier_files(folder: Path) -> tuple[str, ...]:
    """Return all files that loading a classifier and its tokenizer reads, relative to its folder.

    Raises:
        ModelError: The weights are missing or pickled, or a file is a link out of the folder.
    """
    tokenizer = (name for name in ALL_TOKENIZER_FILES if find_file(folder, name))
    return (*loaded_files(folder), *tokenizer)


def read_classifier_config(name: str, folder: Path) -> "PretrainedConfig":
    """Read a classifier's `config.json` as transformers' own type.

    Raises:
        ModelError: As `read_classifier`.
    """
    from transformers import AutoConfig  # imports torch, which takes seconds

    family = read_classifier(name, folder).model_type
    values = {key: value for key, value in _read_values(name, folder).items() if key not in _NOT_PASSED_ON}
    try:
        return AutoConfig.for_model(family, **values)
    except Exception as error:  # transformers and its validators raise many types for a wrong value
        raise ModelError(
            f"{folder / _CONFIG}: expected the settings of {family}, got wrong ones "
            f"({reason(error).removesuffix('.')}); save the model again"
        ) from error


def check_classifier(name: str, folder: Path) -> None:
    """Check that a classifier has a head of as many outputs as it has labels, and a tokenizer that marks the beginning.

    Raises:
        ModelError: It does not.
    """
    settings = read_classifier(name, folder)
    shapes = {
        key: shape for file in weight_files(folder) for key, shape in read_shapes(folder / file).items()
    }
    if not any(key.startswith(_HEAD) for key in shapes):
        raise ModelError(
            f"{name} needs a classifier's weights, and has none, as if it had been pretrained only; fine-tune it "
            "first, or run without --teacher to have a BERT fine-tuned."
        )
    num_outputs = next((shapes[key][0] for key in _LAST_WEIGHTS if key in shapes), None)
    if num_outputs != len(settings.labels):
        raise ModelError(
            f"{name} has a classifier of {num_outputs} outputs and a config.json with {len(settings.labels)} labels; "
            "set num_labels and id2label there to what it was trained with."
        )
    check_first_token(name, load_tokenizer_of(folder, read_classifier_config(name, folder)))


def check_first_token(name: str, tokenizer: Any) -> None:
    """Check that a tokenizer begins each example with the token whose state a classifier reads.

    Raises:
        ModelError: It does not.
    """
    first = tokenizer("a")["input_ids"][:1]
    if first not in ([tokenizer.cls_token_id], [tokenizer.bos_token_id]):
        raise ModelError(
            f"{name} needs a tokenizer that puts its first special token before each text, and its own puts none "
            "there; save the tokenizer that it was trained with in its folder."
        )


def _read_values(name: str, folder: Path) -> dict[str, Any]:
    path = find_file(folder, _CONFIG)
    if path is None:
        raise ModelError(
            f"{name} needs to be a folder of a classifier, and has no config.json; choose another."
        )
    return read_json_object(path)


def _architecture(values: dict[str, Any]) -> str | None:
    names = values.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
