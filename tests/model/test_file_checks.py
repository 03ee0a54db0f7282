"""A pretrained model's files are checked before anything is computed: each fault has its message."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_model

from pkd_core.errors import ModelError
from pkd_core.model.file_checks import check_pretrained, check_weight_format, read_config

WEIGHTS = "model.safetensors"
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert") / "model"
    write_tiny_model(folder, num_layers=2)
    return folder


@pytest.fixture
def folder(intact: Path, tmp_path: Path) -> Path:
    shutil.copytree(intact, tmp_path / "model")
    return tmp_path / "model"


def edit_json(path: Path, edit: Callable[[Any], object]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def edit_config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", lambda values: values.update(changes))


def edit_tokenizer(edit: Callable[[Any], object]) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "tokenizer.json", edit)


def added_token(number: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": content} | flags


def edit_words(edit: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def edit_file(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        save_file(weights | {WORDS: edit(weights[WORDS])}, folder / WEIGHTS)

    return edit_file


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


# Each fault with its message; <reason> is a library's text.
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        "{folder}: expected a model folder, found no config.json; choose another",
    ),
    "config cut short": (
        cut("config.json"),
        "{folder}/config.json: expected a readable JSON object, got <reason>; fetch it again",
    ),
    "config not an object": (
        lambda folder: (folder / "config.json").write_text("[1]"),
        "{folder}/config.json: expected a readable JSON object, got <reason>; fetch it again",
    ),
    "config not UTF-8": (
        lambda folder: (folder / "config.json").write_bytes(b"\xff{}"),
        "{folder}/config.json: expected a readable JSON object, got <reason>; fetch it again",
    ),
    "config is a folder": (
        lambda folder: ((folder / "config.json").unlink(), (folder / "config.json").mkdir()),
        "{folder}/config.json: expected a readable JSON object, got <reason>; fetch it again",
    ),
    "another model type": (
        edit_config(model_type="roberta"),
        "{folder}: expected a BERT model, got 'roberta'; choose a BERT",
    ),
    "a wrong setting": (
        edit_config(hidden_size="wide"),
        "{folder}/config.json: expected a BERT's settings, got wrong ones "
        "(Validation error for field 'hidden_size': TypeError: <reason>); fetch it again",
    ),
    "no weights": (
        lambda folder: (folder / WEIGHTS).unlink(),
        "{folder}: expected model.safetensors, found no weights; fetch the model again",
    ),
    "pickled weights": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        "{folder}: expected model.safetensors, found pickled weights; load them once with transformers and save "
        "them with save_pretrained",
    ),
    "weights cut short": (
        cut(WEIGHTS),
        "{folder}/model.safetensors: expected complete safetensors, got <reason>; fetch the model again",
    ),
    "weights without a header": (
        lambda folder: (folder / WEIGHTS).write_bytes(b"{}"),
        "{folder}/model.safetensors: expected complete safetensors, got <reason>; fetch the model again",
    ),
    "a scalar for the word embeddings": (
        edit_words(torch.sum),
        "{folder}/model.safetensors: expected complete safetensors, got <reason>; fetch the model again",
    ),
    "fewer words than the config": (
        edit_words(lambda words: words[:-1].clone()),
        "{folder}/model.safetensors: expected embeddings for the 19 words of config.json, got 18; "
        "fetch the model again",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "the-model needs a tokenizer.json (a fast tokenizer) beside its weights, and has none; "
        "save one there with AutoTokenizer.from_pretrained(...).save_pretrained(...).",
    ),
    "tokenizer cut short": (
        cut("tokenizer.json"),
        "the-model has a tokenizer.json that cannot be read (<reason>); fetch the model again",
    ),
    "tokenizer of more words": (
        edit_tokenizer(lambda values: values["model"]["vocab"].update(kino=19)),
        "the-model has embeddings for 19 words, and a tokenizer of 20 words; "
        "save the model's own tokenizer beside its weights",
    ),
    "tokenizer with an added word": (
        edit_tokenizer(lambda values: values["added_tokens"].append(added_token(19, "plus"))),
        "the-model has embeddings for 19 words, and a tokenizer of 20 words; "
        "save the model's own tokenizer beside its weights",
    ),
    "tokenizer without special tokens": (
        edit_tokenizer(lambda values: values.update(post_processor=None)),
        "the-model needs a BERT tokenizer, which puts [CLS] before and [SEP] after each text; "
        "save the model's own tokenizer beside its weights",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_model_folder_has_its_message(fault: str, folder: Path) -> None:
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(ModelError) as raised:
        check_pretrained("the-model", folder)
    pattern = re.escape(message.replace("{folder}", str(folder))).replace("<reason>", "[^\n]+")
    assert re.fullmatch(pattern, str(raised.value))


def test_an_intact_model_passes_and_its_configuration_is_returned(intact: Path) -> None:
    config = check_pretrained("the-model", intact)
    assert (config.num_hidden_layers, config.max_position_embeddings) == (2, 256)
    assert read_config(intact).to_dict() == config.to_dict()


def test_a_model_may_have_more_embeddings_than_its_tokenizer_has_words(folder: Path) -> None:
    edit_words(lambda words: torch.cat([words, words[:5]]))(folder)
    edit_config(vocab_size=24)(folder)
    assert check_pretrained("the-model", folder).vocab_size == 24


def test_weights_in_several_files_are_all_checked(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text("{}", encoding="utf-8")
    check_weight_format(folder)
    check_pretrained("the-model", folder)
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors: expected complete safetensors"):
        check_pretrained("the-model", folder)
