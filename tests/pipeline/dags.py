"""The stages of a run over GLUE's tasks and a model of 12 layers, without any file."""

from pathlib import Path
from typing import Any

from pkd_core.config.overrides import build_run_config
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.models import Models, PretrainedModel
from pkd_core.pipeline.own_teachers import OwnTeacher
from pkd_core.pipeline.stage import Stage

MODEL = PretrainedModel("bert", Path("bert"), weights="w1", tokenizer="t1", num_layers=12, max_length=512)
HASHES = {"train": "a", "dev": "b", "test": "c"}


def dag(
    settings: dict[str, Any] | None = None,
    model: PretrainedModel = MODEL,
    hashes: dict[str, str] = HASHES,
    machine: str = "AMD EPYC",
    student_model: PretrainedModel | None = None,
    own_teachers: tuple[OwnTeacher, ...] = (),
    **run: Any,
) -> dict[str, Stage]:
    values = {"tasks": ["RTE"], "student_layers": [6], "seeds": [1], "settings": settings or {}} | run
    config = build_run_config(**values)
    tasks = [GLUE_TASKS[name] for name in config.tasks]
    models = Models(model, student_model, own_teachers)
    stages = build_dag(config, tasks, {task.name: hashes for task in tasks}, models, machine)
    return {stage.key: stage for stage in stages}


def changed(before: dict[str, Stage], after: dict[str, Stage]) -> set[str]:
    assert before.keys() == after.keys()
    return {key.removeprefix("RTE/") for key in before if before[key].fingerprint != after[key].fingerprint}
