"""What MLflow is told of a stage: a run for each training, its evaluation added to it, a run for each report."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pkd_core.data.glue import load_task
from pkd_core.data.tsv import read_examples
from pkd_core.pipeline.job import Context
from pkd_core.pipeline.stage import Stage, StageKind, dotted_settings
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from tasks.logged_model import log_model
from tasks.progress import ProgressObserver
from tasks.tracking import find_run, log_report, log_values, tracked_run

_TRAININGS = (StageKind.TEACHER, StageKind.STUDENT)
_NUM_EXAMPLES = 3


@contextmanager
def watch(
    stage: Stage, inputs: Mapping[str, StageRecord], resumes: bool, context: Context, flow_run: str
) -> Iterator[Observer]:
    """Observe a stage that is being computed: in an MLflow run of its own if it trains a model.

    A training that goes on from a checkpoint goes on with its run, too.
    """
    progress = ProgressObserver(stage)
    if stage.kind not in _TRAININGS:
        yield progress
        return
    digests = {part: record.digest for part, record in inputs.items()} | dict(stage.sources)
    with tracked_run(
        context.workspace,
        name=run_name(stage),
        tags=_tags(stage, flow_run),
        params=dotted_settings(stage.config) | {"tokens.max_length": inputs["tokens"].facts["max_length"]},
        datasets={f"{stage.task}/{part}": digest for part, digest in digests.items()},
        progress_to=progress,
        resumes=resumes,
    ) as run:
        yield run


def tell(
    stage: Stage, inputs: Mapping[str, StageRecord], record: StageRecord, context: Context, flow_run: str
) -> None:
    """Tell MLflow of a published stage what it does not know yet; harmless to repeat.

    Raises:
        PkdError: If MLflow does not take it.
    """
    folder = context.workspace / record.path
    if stage.kind in _TRAININGS:
        _tell_model(stage, inputs["tokens"], folder, context)
    elif stage.kind is StageKind.EVALUATION:
        _tell_scores(inputs["model"], folder, context)
    elif stage.kind is StageKind.REPORT:
        _tell_report(stage, folder, context, flow_run)


def run_name(stage: Stage) -> str:
    """Return the MLflow run's name, such as "rte/pkd-skip-3l-s42"."""
    return f"{stage.task.lower()}/{stage.name}"


def _tags(stage: Stage, flow_run: str) -> dict[str, str]:
    config = stage.config
    return {
        "task": stage.task,
        "method": config.get("method", stage.kind.value),
        "layers": str(config.get("num_layers", "")),
        "seed": str(config.get("seed", config.get("training", {}).get("seed", ""))),
        "fingerprint": stage.fingerprint,
        "flow_run": flow_run,
    }


def _tell_model(stage: Stage, tokens: StageRecord, folder: Path, context: Context) -> None:
    run_id = find_run(context.workspace, stage.fingerprint)
    if run_id is None:
        return
    task = load_task(stage.task, context.data_raw)
    split = task.dev_splits[0]
    examples = islice(read_examples(context.data_raw / split.file, task, split, []), _NUM_EXAMPLES)
    log_model(
        context.workspace,
        run_id,
        folder,
        name=f"pkd-{stage.task}-{stage.config['method']}-{stage.config['num_layers']}l",
        task=task,
        max_length=tokens.facts["max_length"],
        examples=[example.texts for example in examples],
    )


def _tell_scores(model: StageRecord, folder: Path, context: Context) -> None:
    run_id = find_run(context.workspace, model.fingerprint)
    if run_id is None:
        return
    told = _read(folder / "evaluation.json")
    values = {f"best/{name}": value for name, value in told["scores"].items()}
    values |= {
        "score": told["scores"][told["selection"]],
        "parameters": told["parameters"],
        "size_mb": told["size_bytes"] / 1e6,
        "best_epoch": told["best_epoch"],
    }
    if told["speed_ratio"] is not None:
        values["speed_ratio"] = told["speed_ratio"]
    log_values(context.workspace, run_id, values)


def _tell_report(stage: Stage, folder: Path, context: Context, flow_run: str) -> None:
    tasks = sorted({key.partition("/")[0] for key in stage.config["presets"]})
    told = _read(folder / "report.json")
    log_report(
        context.workspace,
        folder,
        name=f"report/{'-'.join(tasks).lower()}",
        tags=_tags(stage, flow_run) | {"task": ",".join(tasks)},
        rows=[_table_row(group) for group in told["groups"]],
        scores={f"report/{_group_name(group)}": group["score"] for group in told["groups"]},
    )


def _table_row(group: Mapping[str, Any]) -> dict[str, Any]:
    keys = (
        "task",
        "method",
        "num_layers",
        "score",
        "gap_to_teacher",
        "parameters",
        "times_smaller",
        "speed_ratio",
    )
    return {key: group[key] for key in keys}


def _group_name(group: Mapping[str, Any]) -> str:
    return f"{group['task']}-{group['method']}-{group['num_layers']}l"


def _read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told
