"""Logs an exported model to MLflow, to be loaded and served with onnxruntime: without pkd and without torch."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.export.bundle_predict import FLOAT32, INT8
from pkd_core.store.os_errors import file_errors
from tasks.logged_model import Served, log_written
from tasks.mlflow_store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

    from pkd_core.export.bundle import Bundle

_SERVED_CODE = Path(__file__).with_name("served_bundle.py")
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "onnxruntime", "tokenizers")


def log_bundle(
    store: Store,
    run: "Run",
    folder: Path,
    *,
    name: str,
    bundle: "Bundle",
    examples: Sequence[tuple[str, ...]],
) -> "LoggedModel":
    """Log a bundle to a run as a model, in int8 where it has that; harmless to repeat.

    Args:
        store: Where the run is.
        run: The export's run, open or ended; its tags become the model's.
        folder: The bundle, and whatever else was published with it.
        name: The model's own name, such as "RTE-export-kd-3l-s42".
        bundle: What it answers with.
        examples: A few examples' texts, shown with the model.

    Returns:
        The model, which is complete.

    Raises:
        StoreError: MLflow does not accept it, or the disk is full.
    """
    from pkd_core.export.bundle import PREDICT, SETTINGS, TOKENIZER  # imports torch

    with tempfile.TemporaryDirectory(prefix="pkd-bundle-") as copied:
        with file_errors("copy", folder):
            for file in (PREDICT, SETTINGS, TOKENIZER, served_file(folder)):
                shutil.copyfile(folder / file, Path(copied, file))
        served = Served(
            code=_SERVED_CODE,
            artifacts={"bundle": Path(copied)},
            config={},
            signature=_signature(bundle),
            text_columns=bundle.text_columns,
            examples=examples,
            requirements=_REQUIREMENTS,
        )
        return log_written(store, run, name, served)


def served_file(folder: Path) -> str:
    """Return the ONNX file of a bundle that is served."""
    return INT8 if (folder / INT8).exists() else FLOAT32


def _signature(bundle: "Bundle") -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    outputs = [ColSpec("double", f"probability_{label}") for label in bundle.labels]
    match bundle.kind:
        case "regression":
            outputs = [ColSpec("double", "score")]
        case "multi-label":
            outputs = [ColSpec(Array(DataType.string), "labels"), *outputs]
        case "classes":
            outputs = [ColSpec("string", "label"), *outputs]
    # Without inputs: MLflow's server then hands over every form of request, and the model itself checks what it gets.
    return ModelSignature(outputs=Schema([*outputs]))
