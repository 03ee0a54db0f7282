"""`pkd up` as in README: start it, run the deployment, fix a failure, retry only what failed, stop it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tiny import quick_arguments, write_tiny_task
from up_process import Up, authorization, start, wait_for

pytestmark = pytest.mark.slow

STAGES = (
    "tokens",
    "teacher",
    "evaluation-teacher",
    "teacher-states",
    "speed-2l",
    "kd-2l-s42",
    "evaluation-kd-2l-s42",
    "distances-kd-2l-s42",
)
CHAIN_A = {f"TinyA/{stage}" for stage in STAGES}
CHAIN_B = {f"TinyB/{stage}" for stage in STAGES}
REPORT = {"reports/report"}
BAD_LINE = "a film\tsideways\n"


def mlflow_answers(up: Up, url: str, body: object = None) -> Any:
    headers = {"Content-Type": "application/json"} | authorization(up.login)
    content = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(url, content, headers), timeout=30)


def named(states: Mapping[str, str], name: str) -> set[str]:
    return {stage for stage, state in states.items() if state == name}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Up]:
    """`pkd up` over two tasks, one of which has a bad line in its training file."""
    root = tmp_path_factory.mktemp("up")
    for task in ("TinyA", "TinyB"):
        write_tiny_task(root / "data_raw", task)
    for name in ("flows", "tasks", "pkd_core"):
        # The user's own, in the current folder: nothing of it is imported.
        (root / name).mkdir()
        (root / name / "__init__.py").write_text("raise SystemExit('not of pkd')\n", encoding="utf-8")
    with (root / "data_raw" / "TinyB" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write(BAD_LINE)
    started = start(
        root, ["TinyA", "TinyB", "--methods", "kd", "--model", str(tiny_model), *quick_arguments()]
    )
    yield started
    for pid in started.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    started.process.wait()


@pytest.fixture(scope="module")
def first(up: Up) -> tuple[subprocess.CompletedProcess[str], str]:
    """The deployment's first run as its command ended, and its id."""

    def is_up() -> bool:
        assert up.process.poll() is None, up.output
        return "prefect deployment run pkd/full-glue --watch" in up.output

    wait_for(is_up, 180, "`pkd up`'s welcome")
    command = up.prefect("deployment", "run", "pkd/full-glue", "--watch")
    return command, up.latest_flow_run()["id"]


@pytest.fixture(scope="module")
def retried(up: Up, first: tuple[subprocess.CompletedProcess[str], str]) -> str:
    """The id of the first run, after the bad line was taken out and the run retried."""
    _, flow_run = first
    path = up.root / "data_raw" / "TinyB" / "train.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace(BAD_LINE, ""), encoding="utf-8")
    command = up.prefect("flow-run", "retry", flow_run)
    assert command.returncode == 0, command.stderr

    def is_over() -> bool:
        run = up.latest_flow_run()
        return bool(run["run_count"] == 2 and run["state_type"] in ("COMPLETED", "FAILED", "CRASHED"))

    wait_for(is_over, 180, "the retry's end")
    return flow_run


@pytest.fixture(scope="module")
def repeated(up: Up, retried: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """A second run of the deployment as its command ended, and its id."""
    command = up.prefect("deployment", "run", "pkd/full-glue", "--watch")
    return command, up.latest_flow_run()["id"]


def test_the_welcome_names_the_addresses_and_the_next_commands(
    up: Up, first: tuple[subprocess.CompletedProcess[str], str]
) -> None:
    assert f"export PREFECT_API_URL={up.api}\n" in up.output
    assert re.search(rf"^Prefect +http://127\.0\.0\.1:{up.prefect_port}$", up.output, re.MULTILINE)
    (page,) = re.findall(rf"^MLflow +(http://127\.0\.0\.1:{up.mlflow_port}/\S+)$", up.output, re.MULTILINE)
    with mlflow_answers(up, page) as response:
        assert response.status == 200


def test_the_login_is_made_shown_once_and_read_from_its_file_by_the_printed_command(up: Up) -> None:
    assert up.output.count(up.login) == 1
    assert stat.S_IMODE((up.root / "artifacts" / "login").stat().st_mode) == 0o600
    (command,) = re.findall(r"^    (export PREFECT_API_AUTH_STRING=.+)$", up.output, re.MULTILINE)
    shell = subprocess.run(
        ["sh", "-c", f'{command}; printf %s "$PREFECT_API_AUTH_STRING"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == up.login


def test_a_run_ends_failed_after_doing_all_that_does_not_depend_on_the_failure(
    up: Up, first: tuple[subprocess.CompletedProcess[str], str]
) -> None:
    command, flow_run = first
    assert command.returncode == 1
    states = up.states(flow_run)
    assert named(states, "Completed") == CHAIN_A | REPORT
    assert named(states, "Failed") == {"TinyB/tokens"}
    (report,) = up.root.glob("artifacts/reports/report-*/report.md")
    assert "sideways" in report.read_text(encoding="utf-8")


def test_retrying_the_run_computes_exactly_what_failed_and_what_depends_on_it(
    up: Up, first: tuple[subprocess.CompletedProcess[str], str], retried: str
) -> None:
    run = up.latest_flow_run()
    assert (run["id"], run["state_type"]) == (first[1], "COMPLETED")
    begun = {
        path: json.loads(path.read_text(encoding="utf-8"))["created"]
        for path in up.root.glob("*/*/*/manifest.json")
    }
    in_b = {created for path, created in begun.items() if path.parts[-3] == "TinyB"}
    in_a = {created for path, created in begun.items() if path.parts[-3] == "TinyA"}
    assert len(begun) == len(CHAIN_A) + len(CHAIN_B) + 2
    assert max(in_a) < min(in_b)
    assert named(up.states(retried), "Completed") >= CHAIN_B | REPORT


def test_running_the_deployment_again_runs_nothing(
    up: Up, repeated: tuple[subprocess.CompletedProcess[str], str]
) -> None:
    command, flow_run = repeated
    assert command.returncode == 0, command.stdout
    assert named(up.states(flow_run), "Cached") == CHAIN_A | CHAIN_B | REPORT


def test_mlflow_shows_a_run_for_each_model_and_report(
    up: Up, repeated: tuple[subprocess.CompletedProcess[str], str]
) -> None:
    base = f"http://127.0.0.1:{up.mlflow_port}/api/2.0/mlflow"
    with mlflow_answers(up, f"{base}/experiments/get-by-name?experiment_name=pkd") as response:
        experiment = json.load(response)["experiment"]["experiment_id"]
    with mlflow_answers(up, f"{base}/runs/search", {"experiment_ids": [experiment]}) as response:
        runs = [run["info"] for run in json.load(response)["runs"]]
    assert sorted((run["run_name"], run["status"]) for run in runs) == [
        ("report/tinya-tinyb", "FINISHED"),
        ("report/tinya-tinyb (partial)", "FINISHED"),
        ("tinya/kd-2l-s42", "FINISHED"),
        ("tinya/teacher", "FINISHED"),
        ("tinyb/kd-2l-s42", "FINISHED"),
        ("tinyb/teacher", "FINISHED"),
    ]


@pytest.mark.parametrize("field", ["pull_steps", "entrypoint"])
def test_what_is_written_into_the_deployment_is_not_executed(
    field: str, up: Up, repeated: tuple[subprocess.CompletedProcess[str], str], tmp_path: Path
) -> None:
    mark, source = tmp_path / "executed", tmp_path / "hostile.py"
    source.write_text(f"open({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    changes: dict[str, Any] = {
        "pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": f"touch {mark}"}}],
        "entrypoint": f"{source}:pkd",
    }
    deployment = up.latest_flow_run()["deployment_id"]
    up.post(f"deployments/{deployment}", {field: changes[field]}, "PATCH")
    # A folder outside the workspace of the service is refused, too.
    outside = {"parameters": {"workspace": str(tmp_path)}}
    run = up.post(f"deployments/{deployment}/create_flow_run", outside)

    def ended() -> bool:
        latest = up.latest_flow_run()
        return latest["id"] == run["id"] and latest["state_type"] in ("COMPLETED", "FAILED", "CRASHED")

    wait_for(ended, 120, "the run's end")
    assert f"needs a workspace in {up.root}, with which" in up.latest_flow_run()["state"]["message"]
    assert not mark.exists()
    assert not (tmp_path / "artifacts").exists()


def test_ctrl_c_in_the_middle_of_a_run_ends_every_process_and_frees_the_ports(
    up: Up, repeated: tuple[subprocess.CompletedProcess[str], str]
) -> None:
    settings = json.dumps({"student.num_epochs": 5000, "teacher.num_epochs": 1, "tokens.max_length": 16})
    command = up.prefect("deployment", "run", "pkd/full-glue", "--param", f"settings={settings}")
    assert command.returncode == 0, command.stderr
    wait_for(lambda: up.latest_flow_run()["state_name"] == "Running", 120, "a running flow")
    wait_for(lambda: list(up.root.glob("artifacts/Tiny?/.work/kd-*.holder")), 120, "a training")
    assert any("spawn_main" in command for command in up.processes().values())

    begun = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=60) == 0, up.output
    assert time.monotonic() - begun < 30
    assert up.processes() == {}
    assert "stopped" in up.output.splitlines()[-1]
    assert "Traceback" not in up.output
    for port in (up.prefect_port, up.mlflow_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_ctrl_c_while_starting_does_not_wait_for_the_services(tmp_path: Path, tiny_model: Path) -> None:
    write_tiny_task(tmp_path / "data_raw", "TinyA")
    up = start(tmp_path, ["TinyA", "--model", str(tiny_model)])
    try:
        wait_for(lambda: "starting" in up.output, 60, "the first line")
        wait_for(lambda: len(up.processes()) >= 4, 60, "the services")
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(timeout=60) == 0, up.output
        assert "prefect deployment run" not in up.output
        assert up.processes() == {}
    finally:
        for pid in up.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        up.process.wait()
