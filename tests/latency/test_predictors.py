"""A model answers the same in torch and in onnxruntime, so that what is timed is the same work."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_tiny_model
from tiny_bert import TASK

from pkd_core.errors import ModelError
from pkd_core.export.bundle import Bundle, export_bundle
from pkd_core.export.onnx_files import BERT_INPUTS, quantize
from pkd_core.latency.measure import Variant
from pkd_core.latency.predictors import bundle_variants, torch_variant
from pkd_core.latency.shallower import export_shallower
from pkd_core.model.loading import build_classifier, save_classifier

EXAMPLES = [("good film",), ("the play was very " * 5 + "bad",), ("a",)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier, with its bundle in "bundle"."""
    root = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    write_tiny_model(root, num_layers=2)
    save_classifier(build_classifier(root, TASK, seed=1), root)
    (root / "bundle").mkdir()
    export_bundle(root, root / "bundle", Bundle.of(TASK, 8), BERT_INPUTS)
    return root


def logits(variant: Variant) -> Any:
    return np.asarray(variant.predict(EXAMPLES))


def test_torch_and_onnx_answer_the_same(folder: Path) -> None:
    in_torch = torch_variant("kd-1l", folder, 8, BERT_INPUTS)
    (in_onnx,) = bundle_variants("kd-1l", folder / "bundle", 1)
    assert logits(in_torch).shape == (3, 2)
    assert np.allclose(logits(in_torch), logits(in_onnx), atol=1e-5)
    assert not np.allclose(
        logits(in_torch), logits(torch_variant("kd-1l", folder, 16, BERT_INPUTS)), atol=1e-5
    )
    unmasked = torch_variant("kd-1l", folder, 8, ["input_ids"])
    assert (logits(in_torch) != logits(unmasked)).any(), "only what the model is said to read"
    assert (in_torch.model, in_torch.format) == ("kd-1l", "torch-float32")
    assert in_torch.size_bytes == (folder / "model.safetensors").stat().st_size
    assert (in_onnx.model, in_onnx.format) == ("kd-1l", "onnx-float32")
    assert in_onnx.size_bytes == (folder / "bundle" / "model.onnx").stat().st_size


def test_a_bundle_has_int8_if_that_was_published(folder: Path) -> None:
    quantize(folder / "bundle")
    found = bundle_variants("teacher", folder / "bundle", 1)
    assert [variant.format for variant in found] == ["onnx-float32", "onnx-int8"]
    float32, int8 = map(logits, found)
    assert 0 < np.abs(float32 - int8).max() < 0.1
    assert found[1].size_bytes == (folder / "bundle" / "model.int8.onnx").stat().st_size
    (folder / "bundle" / "model.int8.onnx").unlink()


def test_the_first_layers_of_an_exported_model_are_the_shallower_model(folder: Path, tmp_path: Path) -> None:
    sizes = []
    for num_layers in (1, 2):
        bundle, trained = tmp_path / f"bundle-{num_layers}", tmp_path / f"model-{num_layers}"
        bundle.mkdir()
        for file in ("bundle.json", "tokenizer.json"):
            (bundle / file).write_bytes((folder / "bundle" / file).read_bytes())
        export_shallower(folder / "bundle", bundle, num_layers)
        (variant,) = bundle_variants("kd", bundle, 1)
        shallow = build_classifier(folder, TASK, seed=1, layers=range(1, num_layers + 1))
        save_classifier(shallow, trained)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (trained / file).write_bytes((folder / file).read_bytes())
        assert np.allclose(logits(variant), logits(torch_variant("kd", trained, 8, BERT_INPUTS)), atol=1e-6)
        sizes.append((variant.size_bytes, shallow.num_parameters()))
    (small, fewer), (large, more) = sizes
    assert large - small == pytest.approx(4 * (more - fewer), rel=0.2), "the other layer's weights are gone"


def test_a_folder_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match="expected an encoder classifier of transformers, got "):
        torch_variant("kd-1l", tmp_path, 8, BERT_INPUTS)
