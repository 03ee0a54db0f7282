"""What MLflow shows of an exported model: a run with its measurements, and a registered model that needs no torch."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.data.examples import read_split
from pkd_core.data.task import Task
from pkd_core.export.bundle_predict import INT8
from pkd_core.export.result import ExportResult, read_export
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.stage_store import StageStore
from pkd_core.store.verification import verify_files
from tasks.completion import complete_run
from tasks.logged_bundle import log_bundle, served_file
from tasks.mlflow_store import Store, ensure_store, store_errors
from tasks.registry import (
    exported_name,
    exported_tags,
    register,
    score_tags,
    set_score,
    version_of,
)
from tasks.run_contents import RunContents, find_finished, run_name
from tasks.unfinished import attempt_file

if TYPE_CHECKING:
    from mlflow.entities import Run

_NUM_EXAMPLES = 3
# What an exported model has from the training of the model that it was made from.
_INHERITED = ("base_model", "base_model_digest", "teacher_base_model", "teacher_base_model_digest")


def log_export(
    stage: Stage, inputs: Mapping[str, StageRecord], record: StageRecord, context: RunContext, flow_run: str
) -> None:
    """Log an exported model to a run of its own, and register it; harmless to repeat.

    Raises:
        PkdError: MLflow does not accept it, or a file is damaged.
    """
    folder = StageStore(context.workspace).fetch(stage.address)
    result = read_export(folder)
    store = ensure_store(context.workspace)
    with store_errors(stage.key):
        trained = find_finished(store, inputs["model"].fingerprint, inputs["model"].digest)

    def add_model(store: Store, run_id: str) -> None:
        from pkd_core.export.bundle import Bundle  # imports torch

        verify_files(folder, read_manifest(folder))
        task = context.tasks[stage.task]
        split = task.dev_splits[0]
        examples = islice(
            read_split(context.data_raw(task.name) / split.file, task, split, []), _NUM_EXAMPLES
        )
        run = store.client.get_run(run_id)
        model = log_bundle(
            store,
            run,
            folder,
            name=f"{stage.task}-{stage.name}".replace(".", "-"),
            bundle=Bundle.read(folder),
            examples=[example.texts for example in examples],
        )
        name = exported_name(stage.task, stage.name)
        register(store, run, model, name)
        score = export_score(folder) or _score_of(trained, task, folder)
        if score:
            set_score(store, version_of(store, name, run_id), score)

    complete_run(
        context.workspace,
        attempt_file(context.workspace, stage.address),
        _contents(stage, inputs, folder, trained, flow_run),
        record.digest,
        [(0, _values(result, served_file(folder)))],
        add_model,
    )


def export_score(folder: Path) -> dict[str, str]:
    """Return the dev score of int8 as a version's tags; empty if int8 is not published.

    Float32 answers as the model that it was made from, whose score its version gets.
    """
    result = read_export(folder)
    if not result.has_int8:
        return {}
    # The first metric of the first labelled split, which selects the best epoch of a training too.
    selection, score = next(iter(result.int8_scores.items()))
    split, _, metric = selection.rpartition("/")
    return score_tags(score, metric, read_manifest(folder).inputs[f"raw/{split}"])


def _score_of(trained: "Run | None", task: Task, folder: Path) -> dict[str, str]:
    """Return the dev score of the model that was exported as a version's tags, if MLflow has it.

    Its run has it, and not only its version: of an own teacher there is none.
    """
    split, metric = task.dev_splits[0].name, task.metrics[0]
    score = None if trained is None else trained.data.metrics.get(f"best/{split}/{metric}")
    return {} if score is None else score_tags(score, metric, read_manifest(folder).inputs[f"raw/{split}"])


def _contents(
    stage: Stage, inputs: Mapping[str, StageRecord], folder: Path, trained: "Run | None", flow_run: str
) -> RunContents:
    inherited = trained.data.tags if trained is not None else {}
    digests = {part: record.digest for part, record in inputs.items()} | dict(stage.sources)
    return RunContents(
        name=run_name(stage),
        tags={
            "task": stage.task,
            **exported_tags(stage.name),
            "format": "onnx-int8" if served_file(folder) == INT8 else "onnx-float32",
            **{key: inherited[key] for key in _INHERITED if key in inherited},
            "fingerprint": stage.fingerprint,
            "flow_run": flow_run,
        },
        params={},
        datasets={f"{stage.task}/{part}": digest for part, digest in digests.items()},
    )


def _values(result: ExportResult, served: str) -> dict[str, float]:
    values = {f"int8/{name}": score for name, score in result.int8_scores.items()}
    return values | {
        "size_mb": result.bytes[served] / 1e6,
        "largest_difference": result.largest_difference,
        "share_changed": result.share_changed,
    }
