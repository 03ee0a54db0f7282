"""`pkd demo`, as a process, in an empty folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.latest_report import latest_report


def demo(folder: Path) -> str:
    command = [str(Path(sys.executable).with_name("pkd")), "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_in_the_demo_distillation_wins_and_a_second_one_trains_nothing(tmp_path: Path) -> None:
    out = demo(tmp_path)
    assert all(method in out for method in ("teacher", "finetune", "kd", "pkd-skip", "pkd-last"))
    assert "44 missing" in out
    report = latest_report(tmp_path / "demo")
    assert report is not None
    report_json = json.loads((report / "report.json").read_text(encoding="utf-8"))
    teacher, finetune, *distilled = report_json["groups"]
    assert teacher["score"] > 0.8
    assert 0.6 < finetune["score"] < min(student["score"] for student in distilled)
    assert "44 done" in demo(tmp_path)
