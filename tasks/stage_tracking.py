"""What MLflow records of a stage: a run for each training, its evaluation added to it, and a run for each report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from pkd_core.data.tsv import read_examples
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.facts import TokensFacts
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.specs import (
    EvaluationSpec,
    ReportSpec,
    StudentSpec,
    TeacherSpec,
    TrainingSpec,
)
from pkd_core.pipeline.stage import Stage
from pkd_core.report.summary import read_summary
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from tasks.logged_model import log_model
from tasks.progress import ProgressObserver
from tasks.tracking import find_run, log_report, log_values, tracked_run

_NUM_EXAMPLES = 3
_TABLE_COLUMNS = (
    "task",
    "method",
    "num_layers",
    "score",
    "gap_to_teacher",
    "parameters",
    "times_smaller",
    "speed_ratio",
)


@contextmanager
def track_stage(
    stage: Stage, inputs: Mapping[str, StageRecord], resumes: bool, context: RunContext, flow_run: str
) -> Iterator[Observer]:
    """Observe a stage that is being computed: in an MLflow run of its own if it trains a model.

    A training that resumes from a checkpoint resumes its run, too.
    """
    progress = ProgressObserver(stage)
    if not isinstance(stage.spec, TeacherSpec | StudentSpec):
        yield progress
        return
    digests = {part: record.digest for part, record in inputs.items()} | dict(stage.sources)
    max_length = TokensFacts.of(inputs["tokens"]).max_length
    with tracked_run(
        context.workspace,
        name=run_name(stage),
        tags=_training_tags(stage, stage.spec, flow_run),
        params=stage.spec.dotted_settings() | {"tokens.max_length": max_length},
        datasets={f"{stage.task}/{part}": digest for part, digest in digests.items()},
        progress_to=progress,
        resumes=resumes,
    ) as run:
        yield run


def log_stage(
    stage: Stage, inputs: Mapping[str, StageRecord], record: StageRecord, context: RunContext, flow_run: str
) -> None:
    """Log to MLflow what it does not have of a published stage yet; harmless to repeat.

    Raises:
        PkdError: If MLflow does not accept it.
    """
    folder = context.workspace / record.path
    match stage.spec:
        case TeacherSpec() | StudentSpec() as spec:
            _log_model(stage, spec, inputs["tokens"], folder, context)
        case EvaluationSpec():
            _log_scores(inputs["model"], folder, context)
        case ReportSpec() as spec:
            _log_report(stage, spec, folder, context, flow_run)
        case _:
            pass


def run_name(stage: Stage) -> str:
    """Return the MLflow run's name, such as "rte/pkd-skip-3l-s42"."""
    return f"{stage.task.lower()}/{stage.name}"


def _training_tags(stage: Stage, spec: TrainingSpec, flow_run: str) -> dict[str, str]:
    return {
        "task": stage.task,
        "method": spec.method,
        "layers": str(spec.num_layers),
        "seed": str(spec.seed),
        "fingerprint": stage.fingerprint,
        "flow_run": flow_run,
    }


def _log_model(
    stage: Stage, spec: TrainingSpec, tokens: StageRecord, folder: Path, context: RunContext
) -> None:
    run_id = find_run(context.workspace, stage.fingerprint)
    if run_id is None:
        return
    task = context.tasks[stage.task]
    split = task.dev_splits[0]
    examples = islice(read_examples(context.data_raw / split.file, task, split, []), _NUM_EXAMPLES)
    log_model(
        context.workspace,
        run_id,
        folder,
        name=f"pkd-{stage.task}-{spec.method}-{spec.num_layers}l",
        task=task,
        max_length=TokensFacts.of(tokens).max_length,
        examples=[example.texts for example in examples],
    )


def _log_scores(model: StageRecord, folder: Path, context: RunContext) -> None:
    run_id = find_run(context.workspace, model.fingerprint)
    if run_id is None:
        return
    result = read_result(folder)
    values = {f"best/{name}": value for name, value in result.scores.items()}
    values |= {
        "score": result.score,
        "parameters": result.parameters,
        "size_mb": result.size_bytes / 1e6,
        "best_epoch": result.best_epoch,
    }
    if result.speed_ratio is not None:
        values["speed_ratio"] = result.speed_ratio
    log_values(context.workspace, run_id, values)


def _log_report(stage: Stage, spec: ReportSpec, folder: Path, context: RunContext, flow_run: str) -> None:
    tasks = sorted({key.partition("/")[0] for key in spec.presets})
    groups = read_summary(folder)
    log_report(
        context.workspace,
        folder,
        name=f"report/{'-'.join(tasks).lower()}",
        tags={
            "task": ",".join(tasks),
            "method": stage.kind.value,
            "layers": "",
            "seed": "",
            "fingerprint": stage.fingerprint,
            "flow_run": flow_run,
        },
        rows=[{column: getattr(group, column) for column in _TABLE_COLUMNS} for group in groups],
        scores={f"report/{group.name}": group.score for group in groups},
    )
