"""Puts a published checkpoint into MLflow as a model that anyone can load and serve without pkd."""

import importlib.metadata
import json
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.data.task import Task
from pkd_core.errors import ModelError
from tasks.mlflow_store import Store, ensure_store, store_errors

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

NEWEST = "newest"
_SERVED_CODE = Path(__file__).with_name("served_model.py")
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "torch", "transformers")
_TOLERANCE = 1e-4
# MLflow hands a model that is written as code from one function to another by a variable of its module.
_one_at_a_time = threading.Lock()


def log_model(
    workspace: Path,
    run_id: str,
    folder: Path,
    *,
    name: str,
    task: Task,
    max_length: int,
    examples: Sequence[tuple[str, ...]],
) -> str:
    """Log a checkpoint to a run, and register it under a name, unless the run has its model already.

    The logged model is loaded back and must answer as the checkpoint does before anyone can find it.

    Args:
        workspace: Folder whose store is used.
        run_id: The training's run, open or ended; its tags become the model's.
        folder: Published checkpoint with its tokenizer, in Hugging Face's files.
        name: What the model is registered as, such as "pkd-RTE-pkd-skip-3l"; each further model is a new version.
        task: Says the labels, and whether an example has one text or two.
        max_length: Tokens kept of an example, as in training.
        examples: A few examples' texts, at least one; the first is shown with the model.

    Returns:
        Address of this very model, "models:/<id>"; the newest under the name is "models:/<name>@newest".

    Raises:
        ModelError: If the model loaded back answers otherwise than the checkpoint.
        StoreError: If MLflow does not take it.
    """
    store = ensure_store(workspace)
    with store_errors(name), _one_at_a_time, _quiet():
        run = store.client.get_run(run_id)
        if run.outputs and run.outputs.model_outputs:
            return f"models:/{run.outputs.model_outputs[0].model_id}"
        model = store.client.create_logged_model(
            store.experiment_id, name=name, source_run_id=run_id, tags=_own_tags(run), model_type="classifier"
        )
        try:
            inputs = pd.DataFrame(list(examples), columns=_text_columns(task))
            _write(store, model, folder, task, max_length, inputs)
            _check(store, model, folder, inputs, max_length)
        except BaseException:
            store.client.finalize_logged_model(model.model_id, "FAILED")
            raise
        store.client.finalize_logged_model(model.model_id, "READY")
        _register(store, run, model)
    return f"models:/{model.model_id}"


def _text_columns(task: Task) -> list[str]:
    return ["text"] if len(task.train_split.texts) == 1 else ["text_a", "text_b"]


def _own_tags(run: "Run") -> dict[str, str]:
    return {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}


def _signature(task: Task) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    outputs = [("string", "label"), *(("double", f"probability_{label}") for label in task.labels)]
    if task.is_regression:
        outputs = [("double", "score")]
    return ModelSignature(
        Schema([ColSpec("string", name) for name in _text_columns(task)]),
        Schema([ColSpec(kind, name) for kind, name in outputs]),
    )


def _write(
    store: Store, model: "LoggedModel", folder: Path, task: Task, max_length: int, inputs: pd.DataFrame
) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="pkd-model-") as parent:
        written = Path(parent) / "model"
        mlflow.pyfunc.save_model(
            str(written),
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                model_uuid=model.model_id,
                run_id=model.source_run_id,
                model_id=model.model_id,
            ),
            python_model=str(_SERVED_CODE),
            artifacts={"checkpoint": str(folder)},
            model_config={"max_length": max_length},
            signature=_signature(task),
            input_example=inputs.head(1),
            # A local tag such as +cpu names a build that other machines' package index may not have.
            pip_requirements=[
                f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in _REQUIREMENTS
            ],
        )
        store.client.log_model_artifacts(model.model_id, str(written))


def _check(store: Store, model: "LoggedModel", folder: Path, inputs: pd.DataFrame, max_length: int) -> None:
    """Load the model back from the store and compare its answers with the checkpoint's own."""
    import mlflow.artifacts
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory(prefix="pkd-model-") as parent:
        fetched = mlflow.artifacts.download_artifacts(
            artifact_uri=model.artifact_location, dst_path=parent, tracking_uri=store.client.tracking_uri
        )
        answers = mlflow.pyfunc.load_model(fetched).predict(inputs)
    served_BC = answers.drop(columns="label", errors="ignore").to_numpy()
    direct_BC = np.stack([_direct_answer(folder, list(texts), max_length) for texts in inputs.to_numpy()])
    if served_BC.shape != direct_BC.shape or not np.allclose(served_BC, direct_BC, atol=_TOLERANCE):
        raise ModelError(
            f"{folder}: MLflow's copy of the model must answer as the checkpoint, {direct_BC[0].round(4)}, and answers "
            f"{served_BC[0].round(4)}; look for a tokenizer or a config.json that is not the model's own."
        )


def _direct_answer(folder: Path, texts: list[str], max_length: int) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    encoded = tokenizer(*texts, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.inference_mode():
        logits_C = model(**encoded).logits[0].double()
    answer: np.ndarray = (
        logits_C if model.config.problem_type == "regression" else logits_C.softmax(dim=0)
    ).numpy()
    return answer


def _register(store: Store, run: "Run", model: "LoggedModel") -> None:
    """Make the model the newest version of its name, then attach it to the run, which says that all is done."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(model.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # Not "models:/<id>": MLflow would look that id up in its global store, not in this one.
    version = store.client.create_model_version(
        model.name,
        source=model.artifact_location,
        run_id=run.info.run_id,
        tags=_own_tags(run),
        model_id=model.model_id,
    )
    store.client.set_registered_model_alias(model.name, NEWEST, version.version)
    told = json.dumps([{"name": model.name, "version": str(version.version)}])
    store.client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": told})
    store.client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's advice and the progress bars of loading weights off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
