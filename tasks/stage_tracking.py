"""What MLflow records of a stage: a run for each training with what was measured of it, and one for each report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

from pkd_core.data.examples import read_split
from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.facts import TokensFacts
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.pipeline.specs import (
    DistancesSpec,
    EvaluationSpec,
    ReportSpec,
    StudentSpec,
    TeacherSpec,
    TrainingSpec,
)
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.stage_store import StageStore
from pkd_core.store.verification import verify_files
from pkd_core.training.metric_history import read_metrics
from tasks.completion import complete_run
from tasks.distance_tracking import log_distances
from tasks.evaluation_tracking import log_evaluation
from tasks.export_tracking import log_export
from tasks.logged_model import log_model
from tasks.mlflow_store import Store
from tasks.own_teacher_tracking import log_own_teacher, own_teacher_tags
from tasks.published_input import read_published
from tasks.registry import fill_aliases, find_version, register, registered_name
from tasks.report_tracking import log_report
from tasks.run_contents import RunContents, run_name
from tasks.search_tracking import log_search
from tasks.tracking import tracked_run
from tasks.unfinished import attempt_file

_NUM_EXAMPLES = 3
_SHORT = 12


@contextmanager
def track_stage(
    stage: Stage,
    inputs: Mapping[str, StageRecord],
    resumes: bool,
    context: RunContext,
    flow_run: str,
    progress: Observer,
) -> Iterator[Observer]:
    """Observe a stage that is being computed: in an MLflow run of its own if it trains a model.

    Args:
        stage: The stage.
        inputs: Record of each input, by its part.
        resumes: Whether it continues from a checkpoint; a training then continues its MLflow run.
        context: Where and how the run works.
        flow_run: Name of Prefect's flow run.
        progress: Shows progress.
    """
    if not isinstance(stage.spec, TeacherSpec | StudentSpec):
        yield progress
        return
    contents = _training_contents(stage, stage.spec, inputs, context, flow_run)
    path = attempt_file(context.workspace, stage.address)
    every = context.options.mlflow_every
    with tracked_run(context.workspace, path, contents, progress, resumes, every) as run:
        yield run


def log_stage(
    stage: Stage, inputs: Mapping[str, StageRecord], record: StageRecord, context: RunContext, flow_run: str
) -> None:
    """Log to MLflow what it does not have of a published stage yet; harmless to repeat.

    What a search tries has its curves and settings there; its scores are with the search, and no model is registered.

    Raises:
        PkdError: If MLflow does not accept it.
    """
    match stage.spec:
        case TeacherSpec() | StudentSpec() as spec:
            _log_training(stage, spec, inputs, record, context, flow_run)
        case OwnTeacherSpec() as spec:
            log_own_teacher(stage, spec, record, context, flow_run)
        case EvaluationSpec() as spec if not stage.trial:
            log_evaluation(stage, spec, inputs, record, context)
        case DistancesSpec():
            log_distances(stage, inputs, context.workspace)
        case ExportSpec():
            log_export(stage, inputs, record, context, flow_run)
        case ReportSpec() as spec:
            log_report(stage, spec, record, context, flow_run)
        case SearchSpec() as spec:
            log_search(stage, spec, record, context, flow_run)
        case _:
            pass


def _training_contents(
    stage: Stage,
    spec: TrainingSpec,
    inputs: Mapping[str, StageRecord],
    context: RunContext,
    flow_run: str,
) -> RunContents:
    digests = {part: record.digest for part, record in inputs.items()} | dict(stage.sources)
    model = context.model_of(stage)
    return RunContents(
        name=run_name(stage),
        tags={
            "task": stage.task,
            "method": spec.method,
            "layers": str(spec.num_layers),
            "seed": str(spec.seed),
            "base_model": model.short_name,
            "base_model_digest": model.weights[:_SHORT],
            **_teacher_tags(stage, context),
            "fingerprint": stage.fingerprint,
            "flow_run": flow_run,
            **(_trial_tags(stage, inputs, context) if stage.trial else {}),
        },
        params=spec.dotted_settings()
        | {
            "tokens.max_length": TokensFacts.of(inputs["tokens"]).max_length,
            "compute.threads": stage.threads,
        },
        datasets={f"{stage.task}/{part}": digest for part, digest in digests.items()},
    )


def _teacher_tags(stage: Stage, context: RunContext) -> dict[str, str]:
    """Return the teacher's pretrained model, for a student that has a teacher from another one, or its own teacher."""
    if "states" not in stage.inputs:
        return {}
    if context.own_teachers:
        return own_teacher_tags(context, "teacher_base_model")
    if stage.student_model is None:
        return {}
    return {
        "teacher_base_model": context.model.short_name,
        "teacher_base_model_digest": context.model.weights[:_SHORT],
    }


def _log_training(
    stage: Stage,
    spec: TrainingSpec,
    inputs: Mapping[str, StageRecord],
    record: StageRecord,
    context: RunContext,
    flow_run: str,
) -> None:
    stages = StageStore(context.workspace)
    # MLflow refuses names with a dot, which a task or method may have.
    name = f"{stage.task}-{stage.name}".replace(".", "-")

    def all_points() -> Iterator[tuple[int, Mapping[str, float]]]:
        yield from read_metrics(stages.fetch(stage.address))

    def add_model(store: Store, run_id: str) -> None:
        run = store.client.get_run(run_id)
        registered = registered_name(stage.task, spec.method, spec.num_layers)
        if store.place and run.info.status == "FINISHED" and find_version(store, registered, run_id):
            # Its files, which another machine may have logged, need not come here.
            fill_aliases(store, registered)
            return
        folder = stages.fetch(stage.address)
        verify_files(folder, read_manifest(folder))
        task = context.tasks[stage.task]
        split = task.dev_splits[0]
        examples = islice(
            read_split(context.data_raw(task.name) / split.file, task, split, []), _NUM_EXAMPLES
        )
        model = log_model(
            store,
            run,
            folder,
            name=name,
            task=task,
            max_length=TokensFacts.of(inputs["tokens"]).max_length,
            examples=[example.texts for example in examples],
        )
        register(store, run, model, registered)

    complete_run(
        context.workspace,
        attempt_file(context.workspace, stage.address),
        _training_contents(stage, spec, inputs, context, flow_run),
        record.digest,
        all_points(),
        _add_nothing if stage.trial else add_model,
        context.options.mlflow_every,
    )


def _trial_tags(stage: Stage, inputs: Mapping[str, StageRecord], context: RunContext) -> dict[str, str]:
    """Return what a search tries, and which examples stand for dev in the curves."""
    tokens = read_published(StageStore(context.workspace), inputs["tokens"])
    return {"trial": stage.trial, "scored_on": "part of train" if tokens.config.get("holdout") else "dev"}


def _add_nothing(_store: Store, _run_id: str) -> None:
    pass
