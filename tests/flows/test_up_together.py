"""A deployment's runs beside `pkd run` in one workspace, and a deployment's run that is cancelled."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import quick_arguments, write_tiny_task
from up_process import BIN, Up, start, wait_for

from pkd_core.store.manifest import read_manifest
from tasks.mlflow_store import ensure_store

pytestmark = pytest.mark.slow

QUICK = quick_arguments(teacher__num_epochs=20, student__num_epochs=20)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("together")
    write_tiny_task(root / "data_raw")
    started = start(root, ["Tiny", "--methods", "kd", "--model", str(tiny_model), *QUICK])
    wait_for(lambda: "Ctrl-C stops all three" in started.output, 180, "`pkd up`'s welcome")
    yield started
    for pid in started.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    started.process.wait()


def run_here(up: Up, model: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start the same run as a command: a.txt finds the deployment's server by itself, b.txt starts its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    with (up.root / name).open("wb") as output:
        return subprocess.Popen(
            [str(BIN / "pkd"), "run", "Tiny", "--methods", "kd", "--model", str(model), *QUICK],
            cwd=up.root,
            env=environment | ({} if name == "a.txt" else {"PREFECT_API_URL": "http://127.0.0.1:9/api"}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_two_commands_and_a_deployments_run_share_the_work(up: Up, tiny_model: Path) -> None:
    commands = [run_here(up, tiny_model, "a.txt"), run_here(up, tiny_model, "b.txt")]
    deployed = up.prefect("deployment", "run", "pkd/full-glue", "--watch")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert [command.wait(timeout=300) for command in commands] == [0, 0]

    folders = [read_manifest(path.parent).stage for path in up.root.glob("*/*/*/manifest.json")]
    assert Counter(folders) == Counter(
        [
            "tokens",
            "teacher",
            "evaluation-teacher",
            "teacher-states",
            "speed-2l",
            "kd-2l-s42",
            "evaluation-kd-2l-s42",
            "distances-kd-2l-s42",
            "report",
        ]
    )
    assert not list(up.root.glob("*/*/.aside")), "a stage was built twice"
    store = ensure_store(up.root)
    runs = store.client.search_runs([store.experiment_id])
    assert sorted((run.info.run_name, run.info.status) for run in runs) == [
        ("report/tiny", "FINISHED"),
        ("tiny/kd-2l-s42", "FINISHED"),
        ("tiny/teacher", "FINISHED"),
    ]
    assert f"this run is shown at {up.api.removesuffix('/api')}\n" in (up.root / "a.txt").read_text(
        encoding="utf-8"
    )
    logs = "".join((up.root / name).read_text(encoding="utf-8") for name in ("a.txt", "b.txt"))
    assert "waits for process" in logs + (up.root / "artifacts/logs/serving-process.log").read_text(
        encoding="utf-8"
    )


def test_a_cancelled_run_stops_at_its_next_step_and_the_next_one_continues(up: Up) -> None:
    settings = {"student.num_epochs": 700, "teacher.num_epochs": 20, "tokens.max_length": 16}
    words = ("deployment", "run", "pkd/full-glue", "--param", f"settings={json.dumps(settings)}")
    assert up.prefect(*words).returncode == 0
    wait_for(
        lambda: list(up.root.glob("artifacts/Tiny/.work/kd-*/checkpoint/state.json")),
        120,
        "a training's checkpoint",
    )
    cancelled = up.latest_flow_run()
    command = up.prefect("flow-run", "cancel", cancelled["id"])
    assert command.returncode == 0, command.stderr
    wait_for(lambda: up.latest_flow_run()["state_type"] == "CANCELLED", 60, "the cancellation")
    (checkpoint,) = up.root.glob("artifacts/Tiny/.work/kd-*/checkpoint/state.json")
    wait_for(lambda: not list(up.root.glob("artifacts/Tiny/.work/*.holder")), 30, "the training's end")
    step = json.loads(checkpoint.read_text(encoding="utf-8"))["state"]["step"]

    again = up.prefect(*words, "--watch")
    assert again.returncode == 0, again.stdout
    log = (up.root / "artifacts/logs/serving-process.log").read_text(encoding="utf-8")
    assert f"resuming from step {step} of" in log
    (run,) = (
        run
        for run in ensure_store(up.root).client.search_runs([ensure_store(up.root).experiment_id])
        if run.data.params.get("student.num_epochs") == "700"
    )
    assert run.info.status == "FINISHED"
