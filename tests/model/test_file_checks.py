"""A pretrained model's files are checked before anything is computed: each fault has its message."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_model

from pkd_core.errors import ModelError
from pkd_core.model.file_checks import check_pretrained, read_config

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


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), r"found no config\.json"),
    "config cut short": (cut("config.json"), r"config\.json: expected a readable JSON object"),
    "config not an object": (lambda folder: (folder / "config.json").write_text("[1]"), "readable JSON object"),
    "config not UTF-8": (lambda folder: (folder / "config.json").write_bytes(b"\xff{}"), "readable JSON object"),
    "config is a folder": (
        lambda folder: ((folder / "config.json").unlink(), (folder / "config.json").mkdir()),
        r"found no config\.json",
    ),
    "another model type": (edit_config(model_type="roberta"), "expected a BERT model, got 'roberta'"),
    "a wrong setting": (edit_config(hidden_size="wide"), r"config\.json: expected a BERT's settings"),
    "another hidden size": (edit_config(hidden_size=64), r"word_embeddings\.weight of 19 x 64 .*, got 19 x 32;"),
    "more layers than weights": (
        edit_config(num_hidden_layers=3), r"expected encoder\.layer\.2\.output\.dense\.weight of 32 x 64 .* no such"
    ),
    "fewer positions": (edit_config(max_position_embeddings=128), r"position_embeddings\.weight of 128 x 32 numbers"),
    "a word beyond the embeddings": (
        edit_tokenizer(lambda values: values["model"]["vocab"].update(film=10**6)),
        "embeddings for 19 words, and a tokenizer of 1000001 words",
    ),
    "words added by another file": (
        lambda folder: (folder / "added_tokens.json").write_text('{"kino": 19}', encoding="utf-8"),
        "embeddings for 19 words, and a tokenizer of 20 words",
    ),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "found no weights; fetch the model again"),
    "pickled weights": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        "found pickled weights; load them once with transformers and save them with save_pretrained",
    ),
    "weights cut short": (cut(WEIGHTS), r"model\.safetensors: expected complete safetensors"),
    "weights without a header": (
        lambda folder: (folder / WEIGHTS).write_bytes(b"{}"),
        r"model\.safetensors: expected complete safetensors",
    ),
    "a scalar for the word embeddings": (edit_words(torch.sum), r"word_embeddings\.weight of 19 x 32 .* got 1;"),
    "fewer words than the config": (
        edit_words(lambda words: words[:-1].clone()),
        r"word_embeddings\.weight of 19 x 32 numbers by its config\.json, got 18 x 32; fetch",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        r"needs a tokenizer\.json .*AutoTokenizer\.from_pretrained",
    ),
    "tokenizer cut short": (cut("tokenizer.json"), r"^the-model has a tokenizer\.json that cannot be read"),
    "tokenizer of more words": (
        edit_tokenizer(lambda values: values["model"]["vocab"].update(kino=19)),
        "embeddings for 19 words, and a tokenizer of 20 words",
    ),
    "tokenizer with an added word": (
        edit_tokenizer(lambda values: values["added_tokens"].append(added_token(19, "plus"))),
        "embeddings for 19 words, and a tokenizer of 20 words",
    ),
    "tokenizer without special tokens": (
        edit_tokenizer(lambda values: values.update(post_processor=None)),
        r"needs a BERT tokenizer, which puts \[CLS\] before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_model_folder_has_its_message(fault: str, folder: Path) -> None:
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(ModelError, match=message):
        check_pretrained("the-model", folder)


def test_an_intact_model_passes_and_its_configuration_is_returned(intact: Path) -> None:
    config = check_pretrained("the-model", intact)
    assert (config.num_hidden_layers, config.max_position_embeddings) == (2, 256)
    assert read_config(intact).to_dict() == config.to_dict()


def test_a_model_may_have_more_embeddings_than_its_tokenizer_has_words(folder: Path) -> None:
    edit_words(lambda words: torch.cat([words, words[:5]]))(folder)
    edit_config(vocab_size=24)(folder)
    assert check_pretrained("the-model", folder).vocab_size == 24


SETTINGS: dict[str, list[Any]] = {
    "vocab_size": [0, -1, 10**30, 19.0, "19", None, True],
    "hidden_size": [0, -32, 10**12, float("nan")],
    "num_hidden_layers": [0, -1, 10**8],
    "num_attention_heads": [0, -2, 3, 64],
    "intermediate_size": [0, -1, 10**12],
    "hidden_act": ["gelux", "", 3, None, "os.system", 5000 * "x"],
    "hidden_dropout_prob": [-0.1, 1, 7.5, float("nan"), float("inf"), "0.1", None, True],
    "attention_probs_dropout_prob": [-0.1, 1.0],
    "classifier_dropout": [-0.1, 1.0],
    "max_position_embeddings": [0, -1, 10**12],
    "type_vocab_size": [0, -1],
    "initializer_range": [-0.02, float("nan"), 1e300],
    "layer_norm_eps": [-1e-12, float("inf")],
    "pad_token_id": [-1, 19, 10**30, "0"],
    "num_labels": [0, -1, 10**9],
    "id2label": [{}, {"x": "up"}, {"0": ["up"]}, [], {"10000": "up"}],
    "label2id": [{"up": "0"}, 3],
    "problem_type": ["poetry"],
    "is_decoder": [True],
    "add_cross_attention": [True],
    "position_embedding_type": ["relative_key"],
    "pruned_heads": [{"0": [1]}],
    "quantization_config": [{"quant_method": "bitsandbytes"}],
    "per_layer_config": [{"0": {"hidden_size": 64}}],
    "transformers_weights": ["other.safetensors"],
}


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_out_of_bounds_is_named_before_anything_is_built(key: str, folder: Path) -> None:
    start = time.perf_counter()
    for value in SETTINGS[key]:
        edit_config(**{key: value})(folder)
        with pytest.raises(ModelError) as caught:
            read_config(folder)
        message = str(caught.value)
        assert f"config.json: expected a BERT's settings, got wrong ones ({key}" in message, value
        assert "\n" not in message and len(message) < len(str(folder)) + 400
    assert time.perf_counter() - start < 1


def test_the_default_of_an_absent_setting_must_fit_the_others(folder: Path) -> None:
    edit_json(folder / "config.json", lambda values: values.pop("num_attention_heads"))
    with pytest.raises(
        ModelError, match="num_attention_heads cannot be 12: expected a number that divides hidden_size 32"
    ):
        read_config(folder)


@pytest.mark.parametrize("name", ["config.json", f"{WEIGHTS}.index.json"])
def test_deeply_nested_json_is_refused(name: str, folder: Path) -> None:
    (folder / WEIGHTS).unlink()  # else its index is not read
    (folder / name).write_text('{"a":' * 100_000, encoding="utf-8")
    with pytest.raises(
        ModelError, match=rf"{name}: expected a readable JSON object, got one that is nested too deeply"
    ):
        check_pretrained("the-model", folder)


def test_keys_that_a_bert_does_not_have_are_not_read(folder: Path) -> None:
    plain = read_config(folder).to_dict()
    edit_config(
        to_dict=1, auto_map={"AutoConfig": "evil.Config"}, fusion_config={}, attn_implementation="x/y"
    )(folder)
    assert read_config(folder).to_dict() == plain
