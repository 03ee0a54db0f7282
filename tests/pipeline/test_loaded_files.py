"""What loading reads of a model's folder is part of the model's hashes, and nothing else is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tiny import write_tiny_model

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.model.loading import build_classifier
from pkd_core.pipeline.models import find_model

LOAD = """
import json, sys
opened = set()
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(sys.argv[1]):
        opened.add(str(arguments[0])[len(sys.argv[1]) + 1:])
sys.addaudithook(note)
import safetensors, pkd_core.model.loading
from pathlib import Path
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.tokenizer import load_tokenizer
safe_open = pkd_core.model.loading.safe_open
def noted_open(path, **options):  # its own code opens the file, without an audit event
    note("open", [path])
    return safe_open(path, **options)
pkd_core.model.loading.safe_open = safetensors.safe_open = noted_open
load_tokenizer(Path(sys.argv[1]))
pkd_core.model.loading.build_classifier(Path(sys.argv[1]), GLUE_TASKS["RTE"], seed=1)
print(json.dumps(sorted(opened)))
"""
DECOYS = {
    "adapter_config.json": '{"base_model_name_or_path": "x"}',
    "adapter_model.safetensors": "",
    "model.fp16.safetensors": "",
    "generation_config.json": "{}",
    "chat_template.jinja": "x",
    "additional_chat_templates/a.jinja": "x",
    "tokenizer.model": "x",
    "tokenizer.9.json": "{}",
    "pytorch_model.bin": "x",
    "modeling_bert.py": "x",
}
HASHED = {
    "added_tokens.json": '{"film": 9}',
    "special_tokens_map.json": '{"unk_token": "[UNK]"}',
    "vocab.txt": "a\n",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model", num_layers=2)
    return tmp_path / "model"


def test_every_file_that_loading_opens_is_part_of_a_hash_and_no_other_matters(model: Path) -> None:
    """Loads model and tokenizer in a process that records each file opened in the folder."""
    for name, content in (DECOYS | HASHED).items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(content, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(model)], capture_output=True, text=True, check=True
    )
    opened = set(json.loads(ended.stdout.splitlines()[-1]))
    before = find_model(str(model))
    hashed = set()
    for path in [path for path in model.rglob("*") if path.is_file() and path.suffix != ".safetensors"]:
        content = path.read_text(encoding="utf-8")
        path.write_text(content + "\n", encoding="utf-8")
        if find_model(str(model)) != before:
            hashed.add(path.relative_to(model).as_posix())
        path.write_text(content, encoding="utf-8")
    assert hashed == {"config.json", "tokenizer.json", "tokenizer_config.json", *HASHED}
    assert opened == hashed | {"model.safetensors"}


def test_an_index_and_its_shards_in_folders_below_are_part_of_the_hash(model: Path) -> None:
    (model / "below").mkdir()
    (model / "model.safetensors").rename(model / "below" / "a.safetensors")
    index = model / "model.safetensors.index.json"
    weight_map = dict.fromkeys(load_file(model / "below" / "a.safetensors"), "below/a.safetensors")
    index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    before = find_model(str(model))
    index.write_text(json.dumps({"weight_map": weight_map, "metadata": {}}), encoding="utf-8")
    other_index = find_model(str(model))
    with (model / "below" / "a.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    other_shard = find_model(str(model))
    assert len({before.weights, other_index.weights, other_shard.weights}) == 3
    assert build_classifier(model, GLUE_TASKS["RTE"], seed=1).config.num_hidden_layers == 2
