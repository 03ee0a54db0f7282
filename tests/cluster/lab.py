"""Two small tasks and the run over them: four methods, three seeds; some of its stages take half a minute."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tiny import quick_arguments, write_tiny_model, write_tiny_task

from cluster.hosts import Host

LONG = "Long"
_METHODS = "finetune,kd,pkd-skip,pkd-last"
_SETTINGS = quick_arguments(
    teacher__num_epochs=4,
    student__num_epochs=6,
    teacher__learning_rate=0.002,
    student__learning_rate=0.001,
)
# A tenth of a minute: each long training writes several.
_CHECKPOINT_MINUTES = "0.05"


def write_lab(folder: Path) -> None:
    """Write the pretrained model and the raw data below a folder: `model` and `data_raw`."""
    write_tiny_task(folder / "data_raw", "Short", num_train=48, num_dev=24)
    write_tiny_task(folder / "data_raw", LONG, num_train=1600, num_dev=96)
    torch.manual_seed(0)  # the model's weights: every case has the same
    write_tiny_model(folder / "model")


def run_command(workspace: str, *options: str) -> list[str]:
    """Return the command of the run; model and raw data are in /tmp/lab on the host that starts it."""
    what = ["Short", LONG, "--methods", _METHODS, "--seeds", "1,2,3", "--student-layers", "2"]
    how = ["--model", "/tmp/lab/model", "--checkpoint-minutes", _CHECKPOINT_MINUTES]
    command = [
        "env",
        "--chdir=/tmp/lab",
        "python",
        "-m",
        "flows.cli",
        "run",
        *what,
        *how,
        "--workspace",
        workspace,
    ]
    return [*command, *options, *_SETTINGS]


def start_run(
    host: Host, workspace: str, environment: Mapping[str, str], *options: str
) -> subprocess.Popen[bytes]:
    """Start the run on a host; what it says is in the host's run.log."""
    return host.start(run_command(workspace, *options), "run.log", environment)


def findings(host: Host, workspace: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what runs have left, as `cluster.findings` finds it on a host."""
    output = host.folder / "findings.json"
    script = f"{sys.executable} -m cluster.findings '{workspace}' > /tmp/findings.json"
    host.run(["bash", "-c", script], environment, timeout=300)
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found
