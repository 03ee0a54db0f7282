"""`pkd search` as it is typed: the rounds, the tables, MLflow, and the commands that follow from it."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from command import run_pkd
from tiny import quick_arguments

from tasks.mlflow_store import ensure_store

pytestmark = pytest.mark.slow
GRID = ("search.alpha=0.2,0.5", "search.temperature=5", "search.learning_rate=1e-3", "search.beta=10,100")


@pytest.fixture(autouse=True)
def environment(server_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server_variables.items():
        monkeypatch.setenv(name, value)


def published(workspace: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in workspace.glob("*/*/*/manifest.json")}


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_a_search_is_run_repeated_and_its_winner_is_trained_already(
    sampler: str, workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "Tiny", "--model", str(tiny_model), "--methods", "kd,pkd-skip", "--device", "cpu"]
    words += [*quick_arguments(), *GRID, "search.normalize=true", f"search.sampler={sampler}"]
    assert run_pkd(*words) == 0
    shown = capsys.readouterr().out
    assert "Chosen on part of train: 4 settings were compared by accuracy on 5 training rows" in " ".join(
        shown.split()
    )
    assert "best: kd. This repeats it, and trains nothing again:" in shown
    before = published(workspace)
    names = Counter(path.parent.name.rpartition("-")[0] for path in before)
    # Two teachers: of the points, and of the end.
    assert (names["teacher"], names["kd-2l-s42"], names["pkd-skip-2l-s42"]) == (2, 3, 3)

    assert run_pkd(*words) == 0
    assert "nothing is to be computed" in capsys.readouterr().out
    (command,) = re.findall(r"^    (pkd run .*)$", shown, re.MULTILINE)
    assert run_pkd(*shlex.split(command)[1:], "--device", "cpu") == 0
    new = published(workspace).keys() - before.keys()
    assert {path.parent.name.rpartition("-")[0] for path in new} == {"report"}
    assert {path: published(workspace)[path] for path in before} == before

    store = ensure_store(workspace)
    runs = store.client.search_runs([store.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (search,) = [run for run in runs if run.data.tags["method"] == "search"]
    points = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == search.info.run_id]
    assert sorted(run.info.run_name for run in points) == ["kd 1", "kd 2", "pkd-skip 1", "pkd-skip 2"]
    trials = [run for run in runs if run.data.tags.get("trial")]
    assert {run.data.tags["scored_on"] for run in trials} == {"part of train"}
    versions = store.client.search_model_versions("name LIKE 'pkd-%'")
    assert Counter(version.name for version in versions) == {"pkd-Tiny-2l": 2, "pkd-Tiny-teacher": 1}

    assert run_pkd("runs") == 0
    assert "Tiny (search)" in capsys.readouterr().out
    assert run_pkd("clean") == 0
    assert "0 folders" in capsys.readouterr().out


def test_a_failed_stage_ends_the_search_and_is_named(
    workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "search",
        "Tiny",
        "--model",
        str(tiny_model),
        "--methods",
        "kd",
        "--device",
        "cpu",
        *quick_arguments(),
    ]
    words += ["search.alpha=0.5", "search.temperature=5", "search.learning_rate=1e-3,1e28"]
    assert run_pkd(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        "1 of 7 stages failed, and nothing is chosen without them: Tiny/kd-2l-s42 (alpha=0.5 T=5 lr=1e+28)"
        in error
    )
    assert not list(workspace.glob("artifacts/reports/*"))
