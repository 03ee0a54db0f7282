"""A model's weights may lie in several files: all that the index names are read, and none outside of the folder."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_model

from pkd_core.errors import ModelError
from pkd_core.model.file_checks import check_pretrained, loaded_files, weight_files

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
WORDS = "embeddings.word_embeddings.weight"
SHARDS = ("a.safetensors", "below/b.safetensors", "below/c.safetensors")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert") / "model"
    write_tiny_model(folder, num_layers=2)
    return folder


@pytest.fixture
def sharded(intact: Path, tmp_path: Path) -> Path:
    """A BERT in three shards, two of them in a folder below its own."""
    folder = tmp_path / "sharded"
    shutil.copytree(intact, folder)
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    (folder / "below").mkdir()
    shards: dict[str, dict[str, torch.Tensor]] = {name: {} for name in SHARDS}
    for number, (key, value) in enumerate(sorted(weights.items())):
        shards[SHARDS[number % 3]][key] = value
    for name, part in shards.items():
        save_file(part, folder / name)
    weight_map = {key: name for name, part in shards.items() for key in part}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return folder


def edit_index(folder: Path, name: str) -> None:
    """Name another file for the first weight."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    index["weight_map"][WORDS] = name
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def test_every_shard_that_the_index_names_is_read_and_checked(sharded: Path, intact: Path) -> None:
    assert weight_files(sharded) == SHARDS
    assert loaded_files(sharded) == ("config.json", INDEX, *SHARDS)
    assert loaded_files(intact) == ("config.json", WEIGHTS)
    assert check_pretrained("the-model", sharded).num_hidden_layers == 2
    (sharded / "below" / "c.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"below/c\.safetensors: expected complete safetensors"):
        check_pretrained("the-model", sharded)
    (sharded / "below" / "c.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"index\.json: expected only safetensors .*, which has no below/c\.safetensors;"
    ):
        check_pretrained("the-model", sharded)


@pytest.mark.parametrize(
    "name", ["../a.safetensors", "below/../../a.safetensors", "/a.safetensors", "..\\a.safetensors"]
)
def test_a_shard_outside_of_the_folder_is_refused(name: str, sharded: Path) -> None:
    shutil.copyfile(sharded / "a.safetensors", sharded.parent / "a.safetensors")
    edit_index(sharded, str(sharded.parent / "a.safetensors") if name.startswith("/") else name)
    with pytest.raises(
        ModelError, match=r"expected names of files inside the folder, got '.*a\.safetensors'"
    ):
        check_pretrained("the-model", sharded)


@pytest.mark.parametrize(
    "name", ["config.json", "below/b.safetensors", "tokenizer.json", "tokenizer_config.json"]
)
def test_a_link_out_of_the_folder_is_refused(name: str, sharded: Path) -> None:
    (sharded / name).rename(sharded.parent / "elsewhere")
    (sharded / name).symlink_to(sharded.parent / "elsewhere")
    with pytest.raises(
        ModelError, match=f"{name}: expected a file inside the model's folder, got a link out of it"
    ):
        check_pretrained("the-model", sharded)


def test_links_within_the_hubs_cache_are_followed(sharded: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    sharded.rename(tmp_path / "moved")
    snapshot.parent.mkdir()
    (tmp_path / "moved").rename(snapshot)
    for name in ("config.json", "a.safetensors", "tokenizer.json"):
        (snapshot / name).rename(blobs / name)
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    check_pretrained("the-model", snapshot)
    (blobs / "a.safetensors").rename(tmp_path / "a.safetensors")
    (blobs / "a.safetensors").symlink_to(tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="got a link out of it"):
        check_pretrained("the-model", snapshot)


@pytest.mark.parametrize(
    "weight_map", [None, {}, [], {"a": 3}, {"a": None}, {"a": ["b.safetensors"]}, {"a": "b.bin"}]
)
def test_an_index_without_files_of_safetensors_is_refused(weight_map: object, sharded: Path) -> None:
    (sharded / INDEX).write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"index\.json: expected (a weight_map|only safetensors)"):
        check_pretrained("the-model", sharded)


def test_the_index_is_not_read_beside_a_single_file(intact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(intact, tmp_path / "model")
    (folder / INDEX).write_text("{", encoding="utf-8")
    assert loaded_files(folder) == ("config.json", WEIGHTS)
    check_pretrained("the-model", folder)
