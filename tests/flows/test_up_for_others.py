"""`pkd up` for other machines: on the address that it is told, over Postgres and an object store, behind its login."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from postgres_server import Postgres, postgres
from s3_server import new_bucket, s3_environment, s3_server
from tiny import quick_arguments, write_tiny_task
from up_process import BIN, Up, authorization, start, wait_for

pytestmark = pytest.mark.slow

# Another address than the default one, which this machine has without being told: connections to 127.0.0.1 are refused.
HOST = "127.0.0.2"
LOGIN = "lab:a login for the lab, 100 %"


@dataclass(frozen=True)
class Lab:
    """The running servers, and where they keep their data."""

    up: Up
    database: Postgres
    storage: Mapping[str, str]
    bucket: str

    def variables(self) -> dict[str, str]:
        """Return what a client sets, as `pkd up` prints it."""
        name, _, password = LOGIN.partition(":")
        return {
            "PREFECT_API_URL": self.up.api,
            "PREFECT_API_AUTH_STRING": LOGIN,
            "MLFLOW_TRACKING_URI": f"http://{HOST}:{self.up.mlflow_port}",
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def stored(self) -> list[str]:
        """Return the keys of MLflow's files in the bucket."""
        address = f"{self.storage['AWS_ENDPOINT_URL']}/{self.bucket}?list-type=2&prefix=mlflow/"
        with urllib.request.urlopen(address, timeout=30) as response:
            return re.findall("<Key>([^<]+)</Key>", response.read().decode())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("lab")
    with postgres("prefect", "mlflow") as database, s3_server() as endpoint:
        storage, bucket = s3_environment(endpoint), new_bucket(endpoint)
        variables = {
            "PREFECT_API_DATABASE_CONNECTION_URL": database.url("prefect"),
            "MLFLOW_BACKEND_STORE_URI": database.url("mlflow"),
        }
        words = ["--no-serve", "--name", "lab.test", "--artifacts", f"s3://{bucket}/mlflow"]
        up = start(root, words, LOGIN, HOST, variables | storage)

        def is_up() -> bool:
            assert up.process.poll() is None, up.output
            return "Ctrl-C stops all of it" in up.output

        try:
            wait_for(is_up, 300, "`pkd up`'s welcome")
            yield Lab(up, database, storage, bucket)
        finally:
            for pid in up.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            up.process.wait()


def pkd(lab: Lab, workspace: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run pkd in another folder, with what a client sets alone."""
    removed = ("PREFECT_", "MLFLOW_", "PKD_", "AWS_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(removed)}
    return subprocess.run(
        [str(BIN / "pkd"), *words],
        cwd=workspace,
        env=environment | lab.variables(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, lab: Lab, tiny_model: Path) -> Path:
    """The workspace of a machine that has run a small task with the servers."""
    workspace = tmp_path_factory.mktemp("client")
    write_tiny_task(workspace / "data_raw", "TinyA")
    words = ["TinyA", "--methods", "kd", "--model", str(tiny_model), *quick_arguments()]
    ended = pkd(lab, workspace, "run", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"this run is shown at {lab.up.api.removesuffix('/api')}\n" in ended.stdout
    return workspace


def test_the_servers_listen_on_the_address_that_they_are_told_and_on_no_other(lab: Lab) -> None:
    for port in (lab.up.prefect_port, lab.up.mlflow_port):
        socket.create_connection((HOST, port), timeout=10).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize(
    ("login", "host", "expected"),
    [(None, HOST, (401, 401)), (LOGIN, HOST, (200, 200)), (LOGIN, "lab.test", (200, 200))]
    + [(LOGIN, name, (400, 403)) for name in ("localhost", "attacker.test")],
)
def test_both_require_the_login_and_answer_under_their_names_alone(
    login: str | None, host: str, expected: tuple[int, int], lab: Lab
) -> None:
    def status(port: int, path: str) -> int:
        headers = {"Host": f"{host}:{port}"} | authorization(login)
        request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers=headers)
        try:
            return int(urllib.request.urlopen(request, timeout=30).status)
        except urllib.error.HTTPError as error:
            return error.code

    experiment = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=pkd"
    prefect = status(lab.up.prefect_port, "/api/admin/version")
    assert (prefect, status(lab.up.mlflow_port, experiment)) == expected


def test_what_it_prints_is_what_other_machines_set(lab: Lab) -> None:
    assert f"    export PREFECT_API_URL=http://lab.test:{lab.up.prefect_port}/api\n" in lab.up.output
    assert f"    export MLFLOW_TRACKING_URI=http://lab.test:{lab.up.mlflow_port}\n" in lab.up.output
    lines = [line.strip() for line in lab.up.output.splitlines() if line.startswith("    export ")]
    shown = 'printf "%s|%s" "$MLFLOW_TRACKING_USERNAME" "$MLFLOW_TRACKING_PASSWORD"'
    shell = subprocess.run(
        ["sh", "-c", "\n".join([*lines, shown])],
        env={"PKD_LOGIN": LOGIN},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == LOGIN.replace(":", "|", 1)


def test_a_run_elsewhere_logs_everything_through_the_servers(lab: Lab, client: Path) -> None:
    assert not (client / "artifacts" / "mlflow.db").exists()
    assert not (client / "artifacts" / "mlflow-files").exists()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.variables().items():
            patch.setenv(name, value)
        store = MlflowClient(lab.variables()["MLFLOW_TRACKING_URI"])
        experiment = store.get_experiment_by_name("pkd")
        assert experiment is not None
        runs = {run.info.run_name: run for run in store.search_runs([experiment.experiment_id])}
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        assert set(runs) == {"report/tinya", "tinya/kd-2l-s42", "tinya/teacher"}
        student = runs["tinya/kd-2l-s42"].info
        (metrics,) = client.glob("artifacts/TinyA/kd-2l-s42-*/metrics.jsonl")
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        steps = [line["step"] for line in lines if "train/total" in line]
        history = store.get_metric_history(student.run_id, "train/total")
        assert len(steps) > 1
        assert sorted(point.step for point in history) == steps
        assert experiment.artifact_location == f"mlflow-artifacts:/{experiment.experiment_id}"
    stored = lab.stored()
    assert any(key.endswith("/model.safetensors") for key in stored)
    assert any(key.endswith("/report.html") for key in stored)
    assert not any("check" in key.split("/")[1] for key in stored)
    assert set(lab.up.states(lab.up.latest_flow_run()["id"]).values()) == {"Completed"}


def test_a_registered_model_is_found_through_the_server(lab: Lab, client: Path) -> None:
    answered = pkd(lab, client, "predict", "models:/pkd-TinyA-2l@best", "--json", "a text")
    assert answered.returncode == 0, answered.stderr
    assert set(json.loads(answered.stdout)) >= {"label"}


def test_a_wrong_login_of_mlflow_ends_in_one_sentence(lab: Lab, client: Path, tiny_model: Path) -> None:
    words = ["TinyA", "--methods", "kd", "--model", str(tiny_model), *quick_arguments()]
    with pytest.MonkeyPatch.context() as patch:
        wrong = lab.variables() | {"MLFLOW_TRACKING_PASSWORD": "another-password"}
        patch.setattr(Lab, "variables", lambda _: wrong)
        refused = pkd(lab, client, "run", *words)
    assert refused.returncode == 2, refused.stdout
    assert refused.stderr.count("\n") == 1
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in refused.stderr


def test_no_password_is_in_a_file_an_argument_or_the_output(lab: Lab, client: Path) -> None:
    secrets = (LOGIN.partition(":")[2], lab.database.password, lab.storage["AWS_SECRET_ACCESS_KEY"])
    files = [path for folder in (lab.up.root, client) for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow-ui.log" for path in files)
    assert any(path.name == "up.json" for path in files)
    assert [path for path in files if any(one.encode() in path.read_bytes() for one in secrets)] == []
    commands = lab.up.processes()
    assert len(commands) >= 4
    assert [command for command in commands.values() if any(one in command for one in secrets)] == []
