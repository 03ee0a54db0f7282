"""Logs a published checkpoint to MLflow as a model that can be loaded and served without pkd."""

import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkd_core.data.task import Task
from tasks.mlflow_store import Store, store_errors

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec

_SERVED_CODE = Path(__file__).with_name("served_model.py")
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "torch", "transformers")


@dataclass(frozen=True)
class Served:
    """What MLflow makes a model of.

    Attributes:
        code: A Python file that defines the model and imports nothing of pkd.
        artifacts: Files or folders that the code reads, by the names that it gives them.
        config: What else the code reads.
        signature: Columns of its answers.
        text_columns: Names of the one or two texts.
        examples: A few examples' texts, shown with the model.
        requirements: Packages that the code imports; their versions here are recorded.
    """

    code: Path
    artifacts: Mapping[str, Path]
    config: Mapping[str, Any]
    signature: "ModelSignature"
    text_columns: Sequence[str]
    examples: Sequence[tuple[str, ...]]
    requirements: Sequence[str]


def log_model(
    store: Store,
    run: "Run",
    folder: Path,
    *,
    name: str,
    task: Task,
    max_length: int,
    examples: Sequence[tuple[str, ...]],
) -> "LoggedModel":
    """Log a checkpoint to a run as a model; harmless to repeat, also after an interrupted call.

    Args:
        store: Where the run is.
        run: The training's run, open or ended; its tags become the model's.
        folder: Published checkpoint with its tokenizer, in Hugging Face's files.
        name: The model's own name, such as "RTE-pkd-skip-3l-s42".
        task: Gives the labels, and whether an example has one text or two.
        max_length: Tokens kept of an example, as in training.
        examples: A few examples' texts, shown with the model.

    Returns:
        The model, which is complete.

    Raises:
        StoreError: MLflow does not accept it.
    """
    return log_written(
        store,
        run,
        name,
        Served(
            code=_SERVED_CODE,
            artifacts={"checkpoint": folder},
            config={"max_length": max_length, "text_columns": list(task.text_columns)}
            | ({"choices": list(task.labels)} if task.num_choices > 1 else {}),
            signature=_signature(task),
            text_columns=task.text_columns,
            examples=examples,
            requirements=_REQUIREMENTS,
        ),
    )


def log_written(store: Store, run: "Run", name: str, served: Served) -> "LoggedModel":
    """Log a model to a run; harmless to repeat, also after an interrupted call.

    Args:
        store: Where the run is.
        run: Open or ended; its tags become the model's.
        name: The model's own name.
        served: What it is made of.

    Returns:
        The model, which is complete.

    Raises:
        StoreError: MLflow does not accept it.
    """
    with store_errors(name):
        return _find_ready(store, run.info.run_id, name) or _create(store, run, name, served)


def log_card(store: Store, version: "ModelVersion", card: str) -> None:
    """Put a model's card beside the files of its version, in place of an earlier one."""
    with tempfile.TemporaryDirectory(prefix="pkd-card-") as folder:
        path = Path(folder) / "README.md"
        path.write_text(card, encoding="utf-8")
        # MLflow's database does not keep the id of a version's model.
        own = f"source_run_id = '{version.run_id}'"
        for model in store.client.search_logged_models([store.experiment_id], own):
            if model.artifact_location == version.source:
                store.client.log_model_artifact(model.model_id, str(path))


def _find_ready(store: Store, run_id: str, name: str) -> "LoggedModel | None":
    """Return the run's complete model of a name; delete what killed calls left of others.

    Earlier versions of pkd gave their models other names, and other columns.
    """
    ready = None
    own = f"source_run_id = '{run_id}' AND name = '{name}'"
    for model in store.client.search_logged_models([store.experiment_id], own):
        if model.status.value == "READY":
            ready = model
        else:
            store.client.delete_logged_model(model.model_id)
    return ready


def _create(store: Store, run: "Run", name: str, served: Served) -> "LoggedModel":
    model = store.client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run.info.run_id,
        tags=_pkd_tags(run),
        model_type="classifier",
    )
    try:
        _write(store, model, served)
    except BaseException:
        store.client.finalize_logged_model(model.model_id, "FAILED")
        raise
    return store.client.finalize_logged_model(model.model_id, "READY")


def _pkd_tags(run: "Run") -> dict[str, str]:
    return {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}


def _outputs(task: Task) -> "list[ColSpec]":
    from mlflow.types import ColSpec
    from mlflow.types.schema import Array

    if task.is_regression:
        return [ColSpec("double", "score")]
    answer = ColSpec(Array("string"), "labels") if task.multi_label else ColSpec("string", "label")
    return [answer, *(ColSpec("double", f"probability_{label}") for label in task.labels)]


def _signature(task: Task) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    # Without inputs: MLflow's server then hands over every form of request, and the model itself checks what it gets.
    return ModelSignature(outputs=Schema([*_outputs(task)]))


def _write(store: Store, model: "LoggedModel", served: Served) -> None:
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
            python_model=str(served.code),
            artifacts={part: str(path) for part, path in served.artifacts.items()},
            model_config=dict(served.config),
            signature=served.signature,
            input_example=[dict(zip(served.text_columns, texts, strict=True)) for texts in served.examples],
            # A local version such as +cpu may be missing from another machine's package index.
            pip_requirements=[
                f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in served.requirements
            ],
        )
        store.client.log_model_artifacts(model.model_id, str(written))
