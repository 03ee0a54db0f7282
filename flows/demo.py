"""What `pkd demo` runs: a made-up task and a small random BERT, with settings that suit both."""

from pathlib import Path

from pkd_core.data.synthetic import write_demo_model, write_demo_task

from flows.request import Request
from pkd_core.config import METHODS
from pkd_core.overrides import build_run_config

TASK = "Demo"


def demo_request(workspace: Path) -> Request:
    """Write the demo's data and model into the workspace where they are absent, and return the run over them."""
    data_raw = workspace / "data_raw"
    model = workspace / "model"
    if not (data_raw / TASK).is_dir():
        write_demo_task(data_raw)
    if not model.is_dir():
        write_demo_model(model, data_raw)
    run = build_run_config(
        tasks=[TASK], methods=METHODS, student_layers=[2], model=str(model), settings=_SETTINGS
    )
    return Request(run, workspace, "auto", False)


_SETTINGS = {
    "tokens.max_length": 64,
    "teacher.learning_rate": 1e-3,
    "student.learning_rate": 1e-3,
}
