"""`mlflow models serve` answers every form of request with both kinds of logged models, and a sentence to a mistake."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from checkpoint import write_checkpoint
from runs import finished
from tiny_bundle import write_tiny_bundle

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.export.bundle import Bundle
from tasks.logged_bundle import log_bundle
from tasks.logged_model import log_model
from tasks.mlflow_store import Store

pytestmark = pytest.mark.slow
TEXT = "a dog runs"
JSON, CSV = "application/json", "text/csv"


@contextmanager
def serving(model: str, log: Path) -> Iterator[str]:
    """Serve a model on a free port of loopback while the body runs, and yield the address of its answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tools = Path(sys.executable).parent
    command = [tools / "mlflow", "models", "serve", "--env-manager", "local", "-m", model]
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_OFFLINE": "1",
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/ping", process, log)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            os.killpg(process.pid, 15)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5)
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text())


def ask(url: str, body: str, kind: str = JSON) -> tuple[int, Any]:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(params=["torch", "onnx"])
def model(request: pytest.FixtureRequest, workspace: Path, store: Store, tmp_path: Path) -> str:
    """Where MLflow has a model of the task SST-2."""
    task = GLUE_TASKS["SST-2"]
    run = store.client.get_run(finished(workspace, f"serving-{request.param}"))
    if request.param == "torch":
        folder = write_checkpoint(tmp_path / "checkpoint", task)
        logged = log_model(store, run, folder, name="served", task=task, max_length=12, examples=[(TEXT,)])
    else:
        folder = write_tiny_bundle(tmp_path / "bundle", labels=task.labels)
        bundle = Bundle(task.labels, ("sentence",), 16, "classes")
        logged = log_bundle(store, run, folder, name="served", bundle=bundle, examples=[(TEXT,)])
    return str(logged.artifact_location)


def test_every_form_of_request_gets_the_same_answer_and_a_mistake_a_sentence(
    model: str, tmp_path: Path
) -> None:
    with serving(model, tmp_path / "log") as url:
        status, expected = ask(url, json.dumps({"inputs": [TEXT]}))
        assert status == 200
        assert expected["predictions"][0].keys() == {"label", "probability_0", "probability_1"}
        forms = {
            json.dumps({"dataframe_records": [{"sentence": TEXT, "id": 7}]}): JSON,
            json.dumps({"dataframe_split": {"columns": ["sentence"], "data": [[TEXT]]}}): JSON,
            f"id,sentence\n7,{TEXT}\n": CSV,
        }
        assert {ask(url, body, kind)[0] for body, kind in forms.items()} == {200}
        assert [ask(url, body, kind)[1] for body, kind in forms.items()] == [expected] * 3

        mistakes = {
            json.dumps(
                {"dataframe_records": [{"sentence": None}]}
            ): "row 1: expected a text in the column 'sentence', got null",
            json.dumps(
                {"dataframe_records": [{"id": 1, "review": TEXT}]}
            ): "expected the columns ['sentence'], got ['id', 'review']",
            json.dumps({"inputs": [7]}): "row 1: expected a text in the column 'sentence', got 7",
        }
        for body, sentence in mistakes.items():
            status, answer = ask(url, body)
            # What comes before it is MLflow's own.
            assert (status, answer["message"].rpartition("\nError: ")[2]) == (400, sentence)
            assert "Traceback" not in json.dumps(answer)
