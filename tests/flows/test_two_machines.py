"""A run on one machine, and all that another one does with it: over an object store, and over a shared folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_server import mlflow_server
from s3_server import new_bucket, s3_environment
from tiny import quick_arguments, write_tiny_model, write_tiny_task

from pkd_core.store.manifest import read_manifest

pytestmark = pytest.mark.slow
_MEASURED = ("speed", "evaluation-finetune", "report")


class Machine:
    """A machine: a cache, a current folder, and what its environment says of the servers."""

    def __init__(self, root: Path, variables: dict[str, str]) -> None:
        self.folder = root / "here"
        self.folder.mkdir(parents=True)
        self.cache = root / "cache"
        self._environment = os.environ | variables | {"PKD_CACHE": str(self.cache)}
        self._environment.pop("PREFECT_HOME", None)

    def pkd(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "flows.cli", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as variables:
        yield variables


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The URL of an empty place, and the variables with which it is reached."""
    if request.param == "folder":
        (tmp_path / "shared").mkdir()
        return (tmp_path / "shared").as_uri(), {}
    endpoint: str = request.getfixturevalue("endpoint")
    return f"s3://{new_bucket(endpoint)}/pkd", s3_environment(endpoint)


def digests(workspace: Path) -> dict[str, str]:
    """Return the digest of each stage in a folder that holds no measured speed."""
    folders = [path.parent for path in workspace.glob("*/*/*/manifest.json")]
    return {
        folder.name: read_manifest(folder).digest
        for folder in folders
        if not folder.name.startswith(_MEASURED)
    }


def test_a_second_machine_finds_everything_and_computes_only_what_is_new(
    place: tuple[str, dict[str, str]], tracking: dict[str, str], tmp_path: Path
) -> None:
    url, variables = place
    first, second = (Machine(tmp_path / name, variables | tracking) for name in ("a", "b"))
    alone = Machine(tmp_path / "alone", {})
    model = tmp_path / "bert"
    write_tiny_model(model)
    for machine in (first, alone):
        write_tiny_task(machine.folder / "data_raw")
    words = ("run", "Tiny", "--model", str(model), "--device", "cpu", *quick_arguments())
    first.pkd(*words, "--methods", "finetune", "--workspace", url)
    alone.pkd(*words, "--methods", "finetune")
    (workspace,) = first.cache.iterdir()
    assert digests(workspace) == digests(alone.folder) != {}

    shared = ("--workspace", url)
    (run,) = json.loads(second.pkd("runs", *shared, "--json"))
    assert run["num_done"] == run["num_stages"] == 7
    assert "finetune, 2 layers" in second.pkd("report", *shared)
    (answer,) = second.pkd("predict", "Tiny/2l", "a good film", *shared, "--json").splitlines()
    assert json.loads(answer)["label"] in ("up", "down")
    assert "7 published stages, 0 damaged" in second.pkd("verify", *shared)
    assert "0 folders" in second.pkd("clean", *shared)
    # The data are found by the task's name.
    assert "nothing is to be computed" in second.pkd(*words, "--methods", "finetune", *shared)
    second.pkd(*words, "--methods", "kd", *shared)
    plan = json.loads(first.pkd("plan", *words[1:], "--methods", "finetune,kd", *shared, "--json"))
    assert {one["stage"] for one in plan["stages"] if one["status"] != "done"} == {
        "Tiny/distances-finetune-2l-s42",  # needs the teacher, which only the second run had
        "reports/report",
    }
