"""A small workspace, the command that works in it, and what counts as the same result."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny import quick_arguments, write_tiny_model, write_tiny_task

from pkd_core.store.manifest import read_manifest
from tasks.mlflow_store import ensure_store

_SETTINGS = quick_arguments(teacher__num_epochs=6, student__num_epochs=6)
_TRAINED = ("train/", "dev/", "score")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What two runs must agree in, whatever happened to them on the way.

    Attributes:
        files: Hash of every published file by its stage and name; of an evaluation, which holds times, its scores.
        curves: Every point of every training's curves, by run and metric; a run that is there twice shows.
    """

    files: Values
    curves: Values

    def differences(self, other: "Result") -> list[str]:
        """Return the names of what is not the same in both."""
        return [
            name
            for mine, reference in ((self.files, other.files), (self.curves, other.curves))
            for name in sorted(mine.keys() | reference.keys())
            if mine.get(name) != reference.get(name)
        ]


def make_workspace(root: Path, model: Path) -> Path:
    """Write a workspace's raw data, and its model where there is none yet."""
    write_tiny_task(root / "data_raw")
    if not model.is_dir():
        write_tiny_model(model)
    return root


def said_by(root: Path) -> Path:
    """Return the file of what a workspace's runs said: beside it, for the workspace's own disk may be full."""
    return root.with_name(f"{root.name}-said.txt")


def start(root: Path, model: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start `pkd run` in a process group of its own, a checkpoint after every step; on all methods by default."""
    pkd = str(Path(sys.executable).with_name("pkd"))
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
    with said_by(root).open("ab") as said:
        return subprocess.Popen(
            [pkd, "run", "Tiny", "--model", str(model), "--checkpoint-minutes", "0", *_SETTINGS, *words],
            cwd=root,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill a process and all it started; False if it had ended by itself."""
    alive = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def finish(root: Path, model: Path, *words: str) -> None:
    """Run until done, as `start` does.

    Raises:
        AssertionError: The run fails; with what it said.
    """
    status = start(root, model, *words).wait(timeout=600)
    assert status == 0, said_by(root).read_text(encoding="utf-8", errors="replace")[-3000:]


def result(root: Path) -> Result:
    """Return what a finished workspace holds."""
    files: dict[str, Any] = {}
    for path in sorted(root.glob("*/Tiny/*/manifest.json")):
        manifest = read_manifest(path.parent)
        if (path.parent / "evaluation.json").is_file():
            told = json.loads((path.parent / "evaluation.json").read_text(encoding="utf-8"))
            files[manifest.stage] = told["scores"]
        else:
            files |= {f"{manifest.stage}/{entry.name}": entry.xxh3 for entry in manifest.files}
    store = ensure_store(root)
    curves: dict[str, Any] = {}
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'FINISHED'"):
        for metric in (name for name in run.data.metrics if name.startswith(_TRAINED)):
            points = store.client.get_metric_history(run.info.run_id, metric)
            line = [(point.step, point.value) for point in points]
            # The evaluation settles the score anew at its last step.
            curves.setdefault(f"{run.info.run_name} {metric}", []).append(sorted(set(line)))
    return Result(files, curves)
