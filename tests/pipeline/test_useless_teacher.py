"""A teacher that has learnt nothing: said before it is distilled for days, or an error where the run is strict."""

from pathlib import Path

import pytest
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import TrainingError
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan


@pytest.mark.parametrize("strict", [False, True])
def test_a_teacher_that_has_learnt_nothing_is_reported_before_distillation(
    tmp_path: Path, strict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    settings = QUICK_SETTINGS | {"teacher.learning_rate": 1e-12}
    run = build_run_config(tasks=["Tiny"], seeds=[1], model=str(tmp_path / "model"), settings=settings)
    plan = make_plan(run, tmp_path, device="cpu")
    options = RunOptions(device="cpu", strict=strict)
    sentence = (
        "Tiny/teacher-states needs a teacher that is better than always giving the most frequent answer"
    )
    if strict:
        with pytest.raises(TrainingError, match=sentence):
            run_plan(plan, options)
    else:
        run_plan(plan, options)
        assert sentence in caplog.text
