"""A bundle made by hand: a model of a few numbers in ONNX, which takes no export."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pkd_core.export import bundle_predict

WORDS = ("good", "bad", "film", "play")
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Of "good" and "bad", for the labels 0 and 1; other words say nothing.
_WEIGHTS = {"good": (-1.0, 1.0), "bad": (1.5, -0.5)}


def write_tiny_bundle(
    folder: Path,
    kind: str = "classes",
    labels: tuple[str, ...] = ("down", "up"),
    columns: tuple[str, ...] = ("sentence",),
    files: tuple[str, ...] = ("model.onnx",),
) -> Path:
    """Write a bundle whose outputs are the sums of its words' weights, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder / "tokenizer.json")
    for number, file in enumerate(files, start=1):
        _write_model(folder / file, len(labels), float(number))
    settings: dict[str, Any] = {
        "labels": list(labels),
        "text_columns": list(columns),
        "max_length": 16,
        "kind": kind,
        "inputs": ["input_ids", "attention_mask"],
        "pad_id": 0,
    }
    (folder / "bundle.json").write_text(json.dumps(settings), encoding="utf-8")
    shutil.copyfile(bundle_predict.__file__, folder / "predict.py")
    return folder


def expected_logits(text: str, scale: float = 1.0) -> list[float]:
    """Return what the bundle answers to a text, for two labels."""
    rows = [_WEIGHTS.get(word, (0.0, 0.0)) for word in text.split()]
    return [scale * sum(row[label] for row in rows) for label in (0, 1)]


def _write_tokenizer(path: Path) -> None:
    vocabulary = {word: position for position, word in enumerate((*_SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_truncation(16)
    tokenizer.save(str(path))


def _write_model(path: Path, num_outputs: int, scale: float) -> None:
    weights = np.zeros((len(_SPECIAL) + len(WORDS), num_outputs), dtype=np.float32)
    for word, values in _WEIGHTS.items():
        weights[len(_SPECIAL) + WORDS.index(word), :2] = [scale * value for value in values[:num_outputs]]
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["masks"]),
        helper.make_node("Mul", ["each", "masks"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    constants = {"weights": weights, "last": np.array([2]), "middle": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "sum-of-words",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", num_outputs])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    onnx.save(model, path)
