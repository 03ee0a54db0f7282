"""`pkd compress` as it is typed: a file becomes a folder to deploy; what was killed goes on at the next start."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run_pkd, tree
from tiny import quick_arguments

from pkd_core import load_student
from pkd_core.store.output_folder import RECORD

pytestmark = pytest.mark.slow
WORDS = {"up": ("good", "fine"), "down": ("bad", "poor")}
QUICK = (*quick_arguments(), "latency.num_calls=20", "latency.max_seconds=1")


@pytest.fixture(autouse=True)
def environment(server_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server_variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a file of 120 reviews and nothing else."""
    rng = random.Random(0)
    with (tmp_path / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for _ in range(120):
            label = rng.choice(list(WORDS))
            words = [
                rng.choice(("the", "a", "film", "play", "book", "song")) for _ in range(rng.randint(1, 5))
            ]
            rows.writerow([f"{' '.join(words)}, {rng.choice(WORDS[label])}", label])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def published(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/*/*/manifest.json")}


def words(tiny_model: Path, *further: str) -> list[str]:
    return ["compress", "reviews.csv", "--model", str(tiny_model), "--device", "cpu", *further, *QUICK]


def test_a_file_becomes_a_folder_to_deploy_and_a_second_start_does_nothing(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = words(tiny_model, "--student-layers", "2", "--out", "small")
    assert run_pkd(*typed) == 0
    shown = capsys.readouterr().out
    assert "rows" in shown
    before, out = published(folder), tree(folder / "small")
    assert json.loads((folder / "small" / RECORD).read_text(encoding="utf-8"))["complete"] is True
    assert {path.name for path in (folder / "small").iterdir()} >= {"transformers", RECORD}
    (answer,) = load_student(folder / "small").predict(["the film, good"])
    assert answer["label"] in WORDS

    begin = time.monotonic()
    assert run_pkd(*typed) == 0
    assert time.monotonic() - begin < 20
    assert "nothing is to be computed" in capsys.readouterr().out
    assert (published(folder), tree(folder / "small")) == (before, out)

    (record,) = folder.glob("artifacts/runs/*.toml")
    (folder / "small" / RECORD).unlink()
    assert run_pkd("compress", "--config", str(record)) == 2
    assert "--out needs a new or empty folder" in capsys.readouterr().err
    assert run_pkd("compress", "--config", str(record), "--out", "other") == 0
    assert "nothing is to be computed" in capsys.readouterr().out
    assert (folder / "other" / RECORD).is_file()
    assert published(folder) == before

    assert run_pkd("runs") == 0
    assert "reviews (compress)" in capsys.readouterr().out
    assert run_pkd("clean") == 0
    assert "0 folders" in capsys.readouterr().out
    assert run_pkd("verify") == 0


@pytest.fixture
def started(folder: Path, tiny_model: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        *words(tiny_model, "--student-layers", "2", "--out", "small"),
    ]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_what_was_killed_is_completed_and_nothing_is_computed_twice(
    folder: Path, tiny_model: Path, started: subprocess.Popen[bytes]
) -> None:
    deadline = time.monotonic() + 240
    while not list(folder.glob("artifacts/reviews/evaluation-finetune-*/manifest.json")):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    assert not (folder / "small" / RECORD).exists()
    before = published(folder)
    assert run_pkd(*words(tiny_model, "--student-layers", "2", "--out", "small")) == 0
    after = published(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    assert json.loads((folder / "small" / RECORD).read_text(encoding="utf-8"))["complete"] is True


def test_a_failed_stage_ends_the_compression_and_is_named(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd(*words(tiny_model, "--out", "small", "student.learning_rate=1e28")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "stages failed, and nothing is chosen without them: reviews/finetune-2l-s42" in error
    assert not (folder / "small").exists()
