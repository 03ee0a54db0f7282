"""What the processes of a stage are told, and what is refused before they start."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dags import MODEL, dag
from tiny_bert import Recorder

from pkd_core.config.run_options import RunOptions
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError
from pkd_core.pipeline.job import Job, RunContext
from pkd_core.pipeline.rank_task import RankTask
from pkd_core.pipeline.several_processes import check_processes, compute_in_processes, num_processes
from pkd_core.store.finished_files import FinishedFiles

METHODS = ["finetune", "kd", "kd.full", "pkd-skip"]
STAGES = dag({"transfer.num_copies": 2}, methods=METHODS)
OTHER_MODEL = replace(MODEL, name="small", folder=Path("small"), weights="w2", tokenizer="t2")
OF_OTHER_MODEL = dag(methods=METHODS, student_model=OTHER_MODEL)


def job_of(stage: Any, folder: Path, **options: Any) -> Job:
    context = RunContext(folder, MODEL, {"RTE": GLUE_TASKS["RTE"]}, RunOptions(**options))
    finished = FinishedFiles(folder, folder)
    inputs = {part: folder / part for part in stage.inputs}
    return Job(stage, folder, folder / "resume", inputs, {}, context, Recorder(), lambda: None, finished)


@pytest.mark.parametrize("stages", [STAGES, OF_OTHER_MODEL])
def test_a_rank_gets_the_stage_that_was_planned(stages: dict[str, Any], tmp_path: Path) -> None:
    divided = [stage for stage in stages.values() if num_processes(stage, RunOptions(processes=2)) == 2]
    assert {stage.name for stage in divided} >= {"teacher", "teacher-states", "kd-6l-s1", "pkd-skip-6l-s1"}
    for stage in divided:
        task = RankTask.of(job_of(stage, tmp_path, processes=2), 1, ["cpu", "cpu"], tmp_path / "meeting")
        found = RankTask.from_json(json.loads(json.dumps(task.to_json())))
        assert found == task
        assert type(found.stage.spec) is type(stage.spec)
        assert found.stage.config == stage.config
        assert (found.rank, found.size) == (1, 2)


def test_only_trainings_and_extractions_are_divided() -> None:
    options = RunOptions(processes=4)
    undivided = {stage.kind.value for stage in STAGES.values() if num_processes(stage, options) == 1}
    assert undivided == {"tokens", "transfer-set", "speed", "evaluation", "distances", "report"}


def test_a_batch_that_cannot_be_divided_evenly_is_refused_before_the_run() -> None:
    settings = {"teacher.accumulation_steps": 4, "student.accumulation_steps": 6}
    stages = list(dag(settings).values())
    check_processes(stages, RunOptions(processes=2))
    message = (
        r"^--processes 4 needs student\.accumulation_steps to be a multiple of 4, got 6: each process computes its "
        r"parts of a batch; set student\.accumulation_steps=4\.$"
    )
    with pytest.raises(ConfigError, match=message):
        check_processes(stages, RunOptions(processes=4))
    check_processes([stage for stage in stages if stage.name == "teacher"], RunOptions(processes=4))


@pytest.mark.parametrize(
    ("device", "num_gpus", "message"),
    [
        ("cuda:1", 8, "--processes 3 needs --device auto, cuda or cpu, got cuda:1."),
        ("cuda", 2, "--processes 3 needs as many GPUs, and 2 can be seen here; give fewer --processes."),
    ],
)
def test_devices_that_are_too_few_are_refused(
    device: str, num_gpus: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    with pytest.raises(ConfigError) as caught:
        compute_in_processes(job_of(STAGES["RTE/teacher"], tmp_path, device=device), 3)
    assert str(caught.value) == message
