"""Teachers of three families with students of another width, end to end; and a run that is killed while it extracts."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import test_own_teacher_run as own
import tiny
from tiny_bert import tiny_config

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.evaluation.distances_result import read_distances
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.facts import TeacherStatesFacts
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest

pytestmark = pytest.mark.slow

STUDENT_WIDTH = 40
# A window is killed after the first shard is finished.
KILLED = """
import os, signal, sys
from pathlib import Path
import pkd_core.teacher_states.extraction as extraction
from pkd_core.teacher_states.writer import StatesWriter
import test_own_teacher_slow as slow

write = StatesWriter.write
def die_later(self, *arrays):
    if self.rows_done >= 1024:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, *arrays)

if sys.argv[2] == "die":
    StatesWriter.write = die_later
slow.extract(Path(sys.argv[1]))
"""


def write_workspace(root: Path, monkeypatch: pytest.MonkeyPatch, num_train: int = 160) -> None:
    tiny.write_tiny_task(root / "data_raw", num_train=num_train, num_dev=60)
    with monkeypatch.context() as patch:
        patch.setattr(
            tiny,
            "tiny_config",
            lambda *args, **values: tiny_config(*args, **values | {"hidden_size": STUDENT_WIDTH}),
        )
        tiny.write_tiny_model(root / "student", 2)


def run_all(root: Path, family: str, **config: Any) -> dict[str, StageRecord]:
    run = build_run_config(
        tasks=["Tiny"],
        methods=["finetune", "kd", "pkd-last"],
        student_layers=[2],
        seeds=[1],
        teachers=[str(root / family)],
        student_model=str(root / "student"),
        settings=tiny.QUICK_STUDENT_SETTINGS
        | {"student.num_epochs": 10, "student.learning_rate": 3e-3}
        | config,
    )
    return run_plan(make_plan(run, root, device="cpu"), RunOptions(device="cpu"))


@pytest.mark.parametrize("family", ["roberta", "deberta-v2", "modernbert"])
def test_a_student_of_another_width_learns_from_a_teacher_of_another_family(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workspace(tmp_path, monkeypatch)
    own.write_teacher(tmp_path, family)
    records = run_all(tmp_path, family)
    scores = {
        name: read_result(tmp_path / records[f"Tiny/evaluation-{name}"].path).score
        for name in ("teacher", "finetune-2l-s1", "kd-2l-s1", "pkd-last-2l-s1")
    }
    assert min(scores.values()) > 0.7, scores
    shape = TeacherStatesFacts.of(records["Tiny/teacher-states"])
    assert (shape.rows, shape.num_layers, shape.hidden_size) == (160, 3, 24)
    # Their widths differ, so that there is nothing to compare.
    assert read_distances(tmp_path / records["Tiny/distances-kd-2l-s1"].path).layers == []
    report = tmp_path / records["reports/report"].path / "report.md"
    text = report.read_text(encoding="utf-8")
    assert f"Base model: `{family}`" in text
    assert "Each teacher reads the texts with its own tokenizer, students with theirs." in text


def extract(root: Path) -> None:
    """Extract the states in shards of one window, in this process."""
    from pkd_core.runtime.group import ONE_PROCESS
    from pkd_core.teacher_states import extraction

    extraction.write_states.__defaults__ = (1024, None, ONE_PROCESS)
    own.run(root, [str(root / "roberta")], "Tiny/teacher-states")


def test_an_extraction_that_is_killed_continues_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workspace(tmp_path / "killed", monkeypatch, num_train=2500)
    own.write_teacher(tmp_path / "killed")
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run([*command, tmp_path / "killed", "die"], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    (shard,) = (tmp_path / "killed").glob("data_feat/Tiny/.work/teacher-states-*/states-00000.arrow")
    before = shard.stat()
    manifests = {}
    for name in ("killed", "whole"):
        subprocess.run([*command, tmp_path / name, "live"], env=environment, check=True)
        (folder,) = (tmp_path / name).glob("data_feat/Tiny/teacher-states-*")
        manifests[name] = read_manifest(folder)
        if name == "killed":
            after = (folder / shard.name).stat()
            assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "written again"
    names = [entry.name for entry in manifests["killed"].files]
    assert names == [f"states-{number:05d}.arrow" for number in range(3)]
    assert manifests["killed"].digest == manifests["whole"].digest
