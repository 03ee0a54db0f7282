"""An evaluation is stored as readable JSON and read back unchanged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pkd_core.evaluation.result import EvaluationResult, read_result, write_result
from pkd_core.evaluation.speed_result import Speed, read_speed, write_speed

TEACHER = EvaluationResult(
    task="RTE",
    method="teacher",
    num_layers=12,
    seed=None,
    scores={"dev/accuracy": 0.68, "dev/f1": 0.7},
    selection="dev/accuracy",
    baseline=0.53,
    num_dev=277,
    predicted_classes=2,
    parameters=109_483_778,
    size_bytes=437_958_648,
    speed=None,
    best_epoch=3,
    precision="bfloat16",
    settings={"student.learning_rate": 2e-5, "distill.normalize": True},
    hidden_size=768,
    skipped_lines={"train": 2},
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_result(tmp_path, TEACHER)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
    assert read_result(tmp_path) == TEACHER
    assert read_result(tmp_path).score == 0.68
    text = (tmp_path / "evaluation.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "task": "RTE",\n  "method": "teacher",\n')
    assert text.endswith('  "skipped_lines": {\n    "train": 2\n  }\n}\n')
    assert json.loads(text) == vars(TEACHER)


def test_a_students_result_carries_the_speed_of_its_depth(tmp_path: Path) -> None:
    speed = Speed(1.83, 1.79, 1.85, 12, 2, 55, 257.0, 131.0, 154.0, 79.0, "AMD EPYC", 2)
    write_speed(tmp_path, speed)
    assert read_speed(tmp_path) == speed
    write_result(tmp_path, replace(TEACHER, method="kd", speed=speed))
    found = read_result(tmp_path)
    assert found.speed == speed
    assert (found.speed_ratio, TEACHER.speed_ratio) == (1.83, None)
    assert speed.spread == pytest.approx(0.04)
    assert speed.where == "AMD EPYC, 2 CPU threads"
    assert json.loads((tmp_path / "evaluation.json").read_text())["speed"]["machine"] == "AMD EPYC"


def test_a_result_with_other_keys_is_an_error(tmp_path: Path) -> None:
    values = vars(TEACHER)
    fewer = {name: value for name, value in values.items() if name != "seed"}
    for other in (fewer, values | {"gap_closed": 0.5}):
        (tmp_path / "evaluation.json").write_text(json.dumps(other), encoding="utf-8")
        with pytest.raises(TypeError):
            read_result(tmp_path)
