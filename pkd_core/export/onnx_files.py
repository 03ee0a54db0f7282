"""A classifier of transformers as ONNX files: float32, and int8 with weights quantised channel by channel.

The bytes of both files depend on the model and the versions of the libraries alone.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.errors import ModelError, reason
from pkd_core.export.bundle_predict import FLOAT32, INT8
from pkd_core.export.packages import check_packages
from pkd_core.export.quiet import quietly_alone

# Loads in onnxruntime 1.18 and later. Opset 23 is no faster, and int8 models of it do not load.
OPSET = 20
# Of a model trained here, whatever its tokenizer's files say of its inputs.
BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
# Files of more bytes need a second file for the weights.
_MAX_BYTES = 2**31
_QUANTISED = ["MatMul", "Gemm", "Gather"]


def export_onnx(
    model_folder: Path, out: Path, num_texts: int = 1, inputs: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Write `out/model.onnx`, which takes any number of texts of any length.

    Args:
        model_folder: An encoder classifier of transformers with its tokenizer.
        out: An existing folder.
        num_texts: Texts of an example, 1 or 2.
        inputs: Names of the model's inputs; by default those that its own tokenizer gives and the model takes.

    Returns:
        The names of the inputs, each of shape (B, L), int64.

    Raises:
        ConfigError: A package of the extra "export" is missing.
        ModelError: The folder holds no such classifier, or one that cannot be exported.
    """
    check_packages()
    model = load_exportable(model_folder)
    if 4 * sum(weight.numel() for weight in model.parameters()) >= _MAX_BYTES:
        raise ModelError(
            f"{model_folder}: expected a model of less than 2 GB, as one ONNX file holds; choose a smaller one"
        )
    examples = [("one text", "another"), ("another, longer text", "a text")]
    tokenizer = load_own_tokenizer(model_folder)
    encoded = tokenizer(*list(zip(*examples, strict=True))[:num_texts], padding=True, return_tensors="pt")
    names = tuple(inputs or (name for name in encoded if name in inspect.signature(model.forward).parameters))
    tensors = {
        name: encoded[name] if name in encoded else torch.zeros_like(encoded["input_ids"]) for name in names
    }
    with _export_errors(model_folder), quietly_alone():
        program = _trace(model, tensors)
        program.save(out / FLOAT32, external_data=False)
    return names


def quantize(out: Path) -> None:
    """Write `out/model.int8.onnx` from `out/model.onnx`: int8 weights and embeddings, activations quantised as it runs.

    Raises:
        ConfigError: A package of the extra "export" is missing.
    """
    check_packages()
    with quietly_alone():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        # Given the file instead, it would write another one beside it.
        quantize_dynamic(
            onnx.load(out / FLOAT32),
            out / INT8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # else CPUs without VNNI overflow
            op_types_to_quantize=_QUANTISED,
        )


def load_exportable(folder: Path) -> torch.nn.Module:
    """Load an encoder classifier in float32, with attention that the exporter can trace.

    Raises:
        ModelError: The folder holds none.
    """
    with _load_errors(folder, "an encoder classifier of transformers"):
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if report["missing_keys"]:
        raise ModelError(
            f"{folder}: expected a trained classifier, found no {min(report['missing_keys'])}; choose another"
        )
    loaded: torch.nn.Module = model.eval()
    return loaded


def load_own_tokenizer(folder: Path) -> Any:
    """Load a model's own fast tokenizer, which pads on the right.

    Raises:
        ModelError: The folder has none.
    """
    with _load_errors(folder, "the model's tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: expected a fast tokenizer, got a slow one; add its tokenizer.json")
    tokenizer.padding_side = "right"
    return tokenizer


def _trace(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> Any:
    # By name: the order of a tokenizer is not that of the model.
    program: Any = torch.onnx.export(
        model,
        (),
        kwargs=dict(inputs),
        dynamo=True,
        opset_version=OPSET,
        dynamic_shapes={name: {0: "batch", 1: "sequence"} for name in inputs},
        input_names=list(inputs),
        output_names=["logits"],
        verbose=False,
    )
    # Stack traces with this machine's paths.
    program.model.graph.metadata_props.clear()
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    return program


@contextmanager
def _load_errors(folder: Path, expected: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # transformers, safetensors and tokenizers raise errors of no common type
        raise ModelError(
            f"{folder}: expected {expected}, got {reason(error)}; choose another folder"
        ) from error


@contextmanager
def _export_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(
            f"{folder}: expected a model that torch can export to ONNX, got {reason(error)}; choose another"
        ) from error
