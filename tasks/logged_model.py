"""Logs a published checkpoint to MLflow as a model that can be loaded and served without pkd."""

import importlib.metadata
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pkd_core.data.task import Task
from tasks.mlflow_store import Store, store_errors

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

NEWEST = "newest"
_SERVED_CODE = Path(__file__).with_name("served_model.py")
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "torch", "transformers")


def log_model(
    store: Store,
    run_id: str,
    folder: Path,
    *,
    name: str,
    task: Task,
    max_length: int,
    examples: Sequence[tuple[str, ...]],
) -> str:
    """Log a checkpoint to a run and register it under a name; what an interrupted call has done already is kept.

    Args:
        store: Where the run is.
        run_id: The training's run, open or ended; its tags become the model's.
        folder: Published checkpoint with its tokenizer, in Hugging Face's files.
        name: Registered name, such as "pkd-RTE-pkd-skip-3l"; each further model is a new version.
        task: Gives the labels, and whether an example has one text or two.
        max_length: Tokens kept of an example, as in training.
        examples: A few examples' texts, shown with the model.

    Returns:
        Address of this model, "models:/<id>"; the newest of the name is "models:/<name>@newest".

    Raises:
        StoreError: MLflow does not accept it.
    """
    with store_errors(name):
        run = store.client.get_run(run_id)
        model = _find_ready(store, run_id) or _create(store, run, folder, name, task, max_length, examples)
        _register(store, run, model)
    return f"models:/{model.model_id}"


def _find_ready(store: Store, run_id: str) -> "LoggedModel | None":
    """Return the run's complete model; delete what killed calls left of others."""
    ready = None
    for model in store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'"):
        if model.status.value == "READY":
            ready = model
        else:
            store.client.delete_logged_model(model.model_id)
    return ready


def _create(
    store: Store,
    run: "Run",
    folder: Path,
    name: str,
    task: Task,
    max_length: int,
    examples: Sequence[tuple[str, ...]],
) -> "LoggedModel":
    model = store.client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run.info.run_id,
        tags=_pkd_tags(run),
        model_type="classifier",
    )
    try:
        _write(store, model, folder, task, max_length, examples)
    except BaseException:
        store.client.finalize_logged_model(model.model_id, "FAILED")
        raise
    return store.client.finalize_logged_model(model.model_id, "READY")


def _text_columns(task: Task) -> list[str]:
    return ["text"] if len(task.train_split.texts) == 1 else ["text_a", "text_b"]


def _pkd_tags(run: "Run") -> dict[str, str]:
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
    store: Store,
    model: "LoggedModel",
    folder: Path,
    task: Task,
    max_length: int,
    examples: Sequence[tuple[str, ...]],
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
            input_example=pd.DataFrame(list(examples), columns=_text_columns(task)),
            # A local version such as +cpu may be missing from another machine's package index.
            pip_requirements=[
                f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in _REQUIREMENTS
            ],
        )
        store.client.log_model_artifacts(model.model_id, str(written))


def _register(store: Store, run: "Run", model: "LoggedModel") -> None:
    """Make the model a version of its name, the newest one unless there is a later one, and attach it to the run."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(model.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = store.client.search_model_versions(f"name = '{model.name}'")
    own = [version for version in versions if version.run_id == run.info.run_id]
    # Not "models:/<id>": MLflow would look that id up in its global store, not in this one.
    version = (
        own[0]
        if own
        else store.client.create_model_version(
            model.name,
            source=model.artifact_location,
            run_id=run.info.run_id,
            tags=_pkd_tags(run),
            model_id=model.model_id,
        )
    )
    newest = max(int(one.version) for one in [*versions, version])
    store.client.set_registered_model_alias(model.name, NEWEST, str(newest))
    linked = json.dumps([{"name": model.name, "version": str(version.version)}])
    store.client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": linked})
    if not (run.outputs and run.outputs.model_outputs):
        store.client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
