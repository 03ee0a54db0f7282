"""An own teacher in MLflow: a run with its names and hashes, and the scores of its evaluation; no registered model."""

from pathlib import Path

import pytest
from mlflow.entities import Run

from pkd_core.config.classifier_settings import ClassifierSettings
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import EvaluationConfig
from pkd_core.evaluation.result import EvaluationResult, write_result
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.own_teachers import OwnTeacher
from pkd_core.pipeline.specs import EvaluationSpec
from pkd_core.pipeline.stage import Stage, make_stage
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore
from tasks.evaluation_tracking import log_evaluation
from tasks.mlflow_store import Store
from tasks.own_teacher_tracking import log_own_teacher

SETTINGS = ClassifierSettings.model_validate(
    {"model_type": "roberta", "num_hidden_layers": 12, "hidden_size": 768}
)
RESULT = EvaluationResult(
    task="Own",
    method="teacher",
    num_layers=12,
    seed=None,
    scores={"dev/accuracy": 0.9},
    selection="dev/accuracy",
    baseline=0.5,
    num_dev=10,
    predicted_classes=2,
    parameters=100,
    size_bytes=4_000_000,
    speed=None,
    best_epoch=None,
    precision="float32",
    settings={},
    hidden_size=768,
    skipped_lines={},
)


def publish(workspace: Path, stage: Stage, result: EvaluationResult | None = None) -> StageRecord:
    store = StageStore(workspace)
    with store.writing(stage.address, {}) as work:
        if result is not None:
            write_result(work, result)
        return store.publish(stage.address, code_version=1, config=stage.config, inputs={}, facts={})


def runs_of(store: Store, stage: Stage) -> list[Run]:
    return list(store.client.search_runs([store.experiment_id], f"tags.fingerprint = '{stage.fingerprint}'"))


@pytest.mark.parametrize("num_calls", [1, 2])
def test_it_has_one_run_which_its_evaluation_completes(workspace: Path, store: Store, num_calls: int) -> None:
    task = f"Own{num_calls}"
    taken = OwnTeacherSpec(
        task=task, num_layers=12, families=("roberta",), label_orders=((0, 1),), named=(True,)
    )
    teacher = make_stage(task, "teacher", taken, {}, {"own-teacher-1": "digest-of-all-files"})
    spec = EvaluationSpec(
        method="teacher", num_layers=12, seed=None, metrics=("accuracy",), evaluation=EvaluationConfig()
    )
    evaluation = make_stage(task, "evaluation-teacher", spec, {"model": teacher}, {})
    own = OwnTeacher("/models/my-roberta", Path("/models/my-roberta"), "digest-of-all-files", SETTINGS)
    model = PretrainedModel("bert", workspace, "w", "t", 12, 512)
    context = RunContext(workspace, model, {}, RunOptions(), "", (own,))
    record, evaluated = publish(workspace, teacher), publish(workspace, evaluation, RESULT)
    inputs = {"model": record, "tokens": record}
    for _ in range(num_calls):
        log_own_teacher(teacher, taken, record, context, "a flow run")
        log_evaluation(evaluation, spec, inputs, evaluated, context)
    (run,) = runs_of(store, teacher)
    assert run.info.run_name == f"{task.lower()}/teacher"
    assert run.info.status == "FINISHED"
    assert run.data.tags["base_model_digest"] == "digest-of-al"
    assert run.data.tags["family"] == "roberta"
    assert run.data.metrics == {
        "best/dev/accuracy": 0.9,
        "score": 0.9,
        "parameters": 100.0,
        "size_mb": 4.0,
    }
    assert not store.client.search_registered_models(f"name LIKE 'pkd-{task}%'")
