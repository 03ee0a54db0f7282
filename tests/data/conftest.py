"""A small WordPiece tokenizer that AutoTokenizer loads, and GLUE files of a few lines."""

import json
from pathlib import Path

import pytest

VOCABULARY = "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog sat run ##s ##ning b c ##b ##c é . , !"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY.split()) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    return folder
