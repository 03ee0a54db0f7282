"""Which of the stages that wait for their turn is the next."""

from pathlib import Path

from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.pipeline.plan import make_plan
from tasks.turns import rank_of


def test_students_come_last_and_seed_2_before_seed_10(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    run = build_run_config(
        tasks=["Tiny"],
        methods=["kd", "finetune"],
        seeds=[10, 2],
        model=str(tmp_path / "model"),
        settings={"tokens.max_length": 16},
    )
    stages = [one.stage for one in make_plan(run, tmp_path).stages]
    names = [stage.name for stage in sorted(stages, key=rank_of)]
    students = ["finetune-2l-s2", "finetune-2l-s10", "kd-2l-s2", "kd-2l-s10"]
    assert names[-4:] == students
    assert {"teacher", "teacher-states", "speed-2l", "evaluation-kd-2l-s10"} < set(names[:-4])
