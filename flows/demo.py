"""What `pkd demo` runs: a generated task with few labels, and a small pretrained BERT, with settings that fit both."""

from pathlib import Path

from flows.demo_data import DEMO_TASK, write_demo_task
from flows.demo_model import write_demo_model
from flows.request import Request
from pkd_core.config.overrides import build_run_config, build_run_options
from pkd_core.config.placement import THREADS
from pkd_core.config.settings import DEFAULT_METHODS
from pkd_core.pipeline.shared_sources import bring_model, send_model
from pkd_core.pipeline.task_data import bring_data
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import disk_errors, file_errors

_SEED = 0
_STUDENT_SEEDS = (1, 2, 3)
_SIZES = {"num_train": 100, "num_dev": 1000, "num_test": 200, "num_unlabelled": 4900}
_PRETRAINING = {"num_sentences": 8000, "num_epochs": 9}
# Chosen with other seeds of the students (decision 8).
_SETTINGS = {
    # Work so small is slower on several.
    "compute.threads": 1,
    "tokens.max_length": 64,
    "teacher.learning_rate": 3e-4,
    "teacher.num_epochs": 60,
    "teacher.precision": "float32",
    "student.learning_rate": 1e-3,
    "student.num_epochs": 60,
    "student.precision": "float32",
    # With the texts without labels, an epoch has 40 times as many steps.
    "distill.num_epochs": 4,
    "distill.alpha": 0.9,
    "distill.temperature": 2,
    "distill.distillation_reduction": "batch_mean",
    "distill.beta": 10,
    "distill.normalize": True,
    "distill.patience_reduction": "batch_mean",
}


def demo_request(workspace: Path, placement: str = THREADS) -> Request:
    """Write the demo's data and model into the workspace if they are missing, and return the run over them.

    Raises:
        ConfigError: There is no such placement.
        StoreError: If the disk cannot be written.
    """
    options = build_run_options(placement=placement)
    data_raw = workspace / "data_raw"
    model = workspace / "model"
    with file_errors("write", workspace), disk_errors("write", workspace):
        workspace.mkdir(parents=True, exist_ok=True)
        bring_data(workspace, [DEMO_TASK])
        with hold(workspace / ".demo.lock", "the demo's data"):
            if not (data_raw / DEMO_TASK).is_dir():
                write_demo_task(data_raw, _SEED, **_SIZES)
            bring_model(workspace, model)
            if not model.is_dir():
                write_demo_model(model, _SEED, **_PRETRAINING)
                send_model(workspace, model)
    run = build_run_config(
        tasks=[DEMO_TASK],
        methods=DEFAULT_METHODS,
        student_layers=[2],
        seeds=_STUDENT_SEEDS,
        model=str(model),
        settings=_SETTINGS,
    )
    return Request(run, options, workspace)
