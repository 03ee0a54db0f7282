"""What MLflow shows of an evaluation: values of its model's run, and the score and card of the model's version."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.facts import TokensFacts
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import Manifest
from pkd_core.store.stage_store import StageStore
from tasks.completion import complete_values
from tasks.logged_model import log_card
from tasks.mlflow_store import Store
from tasks.model_card import model_card
from tasks.own_teacher_tracking import is_own_teacher
from tasks.published_input import read_published
from tasks.registry import has_score, registered_name, score_tags, set_score, version_of

if TYPE_CHECKING:
    from mlflow.entities import Run


def final_values(folder: Path) -> dict[str, float]:
    """Return what an evaluation adds to its model's run."""
    result = read_result(folder)
    values = {f"best/{name}": value for name, value in result.scores.items()}
    values |= {
        "score": result.score,
        "parameters": result.parameters,
        "size_mb": result.size_bytes / 1e6,
    }
    if result.best_epoch is not None:
        values["best_epoch"] = result.best_epoch
    if result.speed_ratio is not None:
        values["speed_ratio"] = result.speed_ratio
    return values


def evaluation_tags(folder: Path, tokens: Manifest) -> dict[str, str]:
    """Return what an evaluation adds to its model's version, given its own folder and what its tokens were made of."""
    result = read_result(folder)
    split, _, metric = result.selection.rpartition("/")
    return score_tags(result.score, metric, tokens.inputs[f"raw/{split}"])


def log_evaluation(
    stage: Stage,
    spec: EvaluationSpec,
    inputs: Mapping[str, StageRecord],
    record: StageRecord,
    context: RunContext,
) -> None:
    """Add what an evaluation found to its model's run, and to the model's version if it has one.

    Raises:
        StoreError: MLflow does not accept it, or has no such run.
    """
    stages = StageStore(context.workspace)
    folder = stages.fetch(record.address)
    model, tokens = inputs["model"], inputs["tokens"]
    name = registered_name(stage.task, spec.method, spec.num_layers)

    def add_score(store: Store, run: "Run") -> None:
        if is_own_teacher(read_published(stages, model)):
            return
        version = version_of(store, name, run.info.run_id)
        tags = evaluation_tags(folder, read_published(stages, tokens))
        if not has_score(version, tags):
            card = model_card(
                read_result(folder),
                context.tasks[stage.task],
                base_model=version.tags["base_model"],
                teacher_base_model=version.tags.get("teacher_base_model"),
                max_length=TokensFacts.of(tokens).max_length,
                address=f"models:/{name}/{version.version}",
            )
            log_card(store, version, card)
        set_score(store, version, tags)

    complete_values(context.workspace, model.fingerprint, model.digest, final_values(folder), add_score)
