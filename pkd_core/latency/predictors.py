"""Models as functions of texts: with torch from a folder of transformers, with onnxruntime from a bundle."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from pkd_core.errors import ModelError, reason
from pkd_core.export.bundle_predict import FLOAT32, INT8, Model
from pkd_core.export.onnx_files import load_own_tokenizer
from pkd_core.latency.measure import Example, Variant
from pkd_core.latency.result import Format

FORMATS: Mapping[str, Format] = {FLOAT32: "onnx-float32", INT8: "onnx-int8"}


def bundle_variants(name: str, bundle: Path, threads: int) -> list[Variant]:
    """Return the models of a bundle, in float32 and, if it has it, in int8, as onnxruntime computes them.

    Args:
        name: The model's name in the result.
        bundle: Folder of the bundle.
        threads: CPU threads to compute with.
    """
    files = [file for file in FORMATS if (bundle / file).is_file()]
    return [
        Variant(name, FORMATS[file], Model(bundle, file, threads).logits, (bundle / file).stat().st_size)
        for file in files
    ]


def torch_variant(name: str, folder: Path, max_length: int, inputs: Collection[str]) -> Variant:
    """Return a classifier as transformers computes it in float32, with its own tokenizer.

    Args:
        name: The model's name in the result.
        folder: An encoder classifier of transformers, of any family.
        max_length: Most tokens of an example.
        inputs: Which of the tokenizer's outputs the model reads.

    Raises:
        ModelError: The folder holds no such classifier.
    """
    tokenizer = load_own_tokenizer(folder)
    try:
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers and safetensors raise errors of no common type
        raise ModelError(
            f"{folder}: expected an encoder classifier of transformers, got {reason(error)}; choose another folder"
        ) from error
    model.eval()

    @torch.inference_mode()
    def predict(examples: Sequence[Example]) -> Any:
        columns = [list(texts) for texts in zip(*examples, strict=True)]
        encoded = tokenizer(
            *columns, padding=True, truncation=True, max_length=max_length, return_tensors="pt"
        )
        return model(**{key: values for key, values in encoded.items() if key in inputs}).logits

    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return Variant(name, "torch-float32", predict, size)
