"""The deployment `pkd/compress` of a running `pkd up`, as README and docs/service.md type it."""

import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import QUICK_SETTINGS, write_tiny_task
from up_process import Up, start, wait_for

pytestmark = pytest.mark.slow
SETTINGS = {**QUICK_SETTINGS, "latency.num_calls": 20, "latency.max_seconds": 1}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Up]:
    """`pkd up` with a tiny model as its default, in a folder with a file of reviews."""
    root = tmp_path_factory.mktemp("up")
    write_tiny_task(root / "data_raw")
    rng = random.Random(0)
    words = {"up": ("good", "fine"), "down": ("bad", "poor")}
    rows = [
        f"the film {number} was {rng.choice(words[label])},{label}"
        for number in range(100)
        for label in [rng.choice(["up", "down"])]
    ]
    (root / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    started = start(root, ["Tiny", "--model", str(tiny_model), "--device", "cpu"])

    def is_up() -> bool:
        assert started.process.poll() is None, started.output
        return "prefect deployment run pkd/compress --watch" in started.output

    wait_for(is_up, 240, "`pkd up`'s welcome")
    yield started
    for pid in started.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    started.process.wait()


def compress(up: Up, **parameters: object) -> int:
    given = {"data": "reviews.csv", "student_layers": 2, "settings": SETTINGS} | parameters
    words = [word for name, value in given.items() for word in ("--param", f"{name}={json.dumps(value)}")]
    return up.prefect("deployment", "run", "pkd/compress", "--watch", *words).returncode


def test_a_run_of_the_deployment_hands_the_student_over(up: Up) -> None:
    assert compress(up, out="small") == 0, up.latest_flow_run()
    run = up.latest_flow_run()
    assert (run["state_type"], run["name"]) == ("COMPLETED", "compress reviews.csv: student_layers=2")
    assert json.loads((up.root / "small" / "pkd.json").read_text(encoding="utf-8"))["complete"] is True
    assert (up.root / "small" / "bundle" / "predict.py").is_file()


def test_a_folder_outside_of_the_services_workspace_is_refused(up: Up, tmp_path: Path) -> None:
    assert compress(up, out=str(tmp_path / "small")) == 1
    assert "this service needs" in up.latest_flow_run()["state"]["message"]
    assert not (tmp_path / "small").exists()


def test_the_form_has_choices_and_descriptions(up: Up) -> None:
    (deployment,) = up.post("deployments/filter", {"deployments": {"name": {"any_": ["compress"]}}})
    fields = deployment["parameter_openapi_schema"]["properties"]
    assert fields["deploy_format"]["enum"] == ["onnx-int8", "onnx-float32", "torch-float32"]
    assert "fine-tuned" in fields["teachers"]["description"]
    assert deployment["parameter_openapi_schema"]["required"] == ["data"]
