"""Encoder classifiers of every family export to the logits that torch computes, and to the same bytes each time."""

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, write_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.export.bundle import Bundle, export_bundle
from pkd_core.export.bundle_predict import FLOAT32, INT8, Model
from pkd_core.export.onnx_files import quantize

TEXTS = ["a good film", "what a very long and tedious play that nobody liked at all", "not bad", "x", "books"]
MAX_LENGTH = 30


def torch_logits(folder: Path, examples: list[tuple[str, ...]]) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "right"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    columns = [list(column) for column in zip(*examples, strict=True)]
    encoded = tokenizer(*columns, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
    known = inspect.signature(model.forward).parameters
    with torch.inference_mode():
        logits: np.ndarray = model(
            **{name: ids for name, ids in encoded.items() if name in known}
        ).logits.numpy()
    return logits


@pytest.mark.slow
@pytest.mark.parametrize("columns", [("text",), ("first", "second")], ids=["one text", "two texts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_exported_with_torchs_logits(
    family: str, columns: tuple[str, ...], tmp_path: Path
) -> None:
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    bundle.mkdir()
    write_classifier(model, family, TEXTS, ("a", "b", "c"))
    export_bundle(model, bundle, Bundle(("a", "b", "c"), columns, MAX_LENGTH, "classes"))
    examples = [(first, second)[: len(columns)] for first, second in zip(TEXTS, TEXTS[::-1], strict=True)]
    expected, exported = torch_logits(model, examples), Model(bundle, FLOAT32)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(exported.logits(examples, batch_size=1), expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(exported.logits(examples), expected, rtol=0, atol=2e-5)
    quantize(bundle)
    np.testing.assert_allclose(Model(bundle, INT8).logits(examples), expected, rtol=0, atol=1)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_classifier(model, "bert", TEXTS, ("a", "b"))
    script = (
        "import sys; from pathlib import Path; from pkd_core.export.bundle import Bundle, export_bundle;"
        "from pkd_core.export.onnx_files import quantize; model, out = map(Path, sys.argv[1:]); out.mkdir();"
        "export_bundle(model, out, Bundle(('a', 'b'), ('text',), 30, 'classes')); quantize(out)"
    )
    digests = []
    for name in ("first", "second in a longer path"):
        subprocess.run([sys.executable, "-c", script, model, tmp_path / name], check=True)
        files = sorted((tmp_path / name).iterdir())
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert len(digests[0]) == 5
    assert digests[0] == digests[1]
