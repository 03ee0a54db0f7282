"""What MLflow shows of a student's distances to its teacher: metrics of the student's own run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.evaluation.distances_result import at_same_depth, read_distances
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore
from tasks.completion import complete_values
from tasks.mlflow_store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run


def log_distances(stage: Stage, inputs: Mapping[str, StageRecord], workspace: Path) -> None:
    """Add the distances to the run of the student that they are of.

    Raises:
        StoreError: MLflow does not accept it, or has no such run.
    """
    student = inputs["model"]
    values = distance_values(StageStore(workspace).fetch(stage.address))
    complete_values(workspace, student.fingerprint, student.digest, values, _add_nothing)


def distance_values(folder: Path) -> dict[str, float]:
    """Return each student layer's distance to the teacher's at the same depth, such as "distance/after/layer-1"."""
    values = {}
    for layer in at_same_depth(read_distances(folder).layers):
        values[f"distance/before/layer-{layer.student_layer}"] = layer.before
        values[f"distance/after/layer-{layer.student_layer}"] = layer.after
    return values


def _add_nothing(_store: Store, _run: "Run") -> None:
    pass
