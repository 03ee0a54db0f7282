"""A small workspace, the command that runs in it, and the results that must not depend on faults."""

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
from tasks.mlflow_store import Store, ensure_store
from tasks.report_tracking import FAILED_STAGES_TAG

_SETTINGS = quick_arguments(teacher__num_epochs=6, student__num_epochs=6)
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """The results of a workspace that do not depend on what happened to its runs.

    Attributes:
        files: Hash of every published file by its stage and name, but for measured speeds; of an evaluation, which
            carries one, its scores.
        curves: All points of every run's metrics but times, by run and metric; a duplicate run adds a second curve.
            Runs of partial reports are left out: a run with a failure may leave one.
        registry: MLflow's versions of each registered model with its aliases, and the names of runs that never ended.
    """

    files: Values
    curves: Values
    registry: Values

    def differences(self, other: "Result") -> list[str]:
        """Return the names of the entries that differ."""
        return [
            name
            for mine, others in (
                (self.files, other.files),
                (self.curves, other.curves),
                (self.registry, other.registry),
            )
            for name in sorted(mine.keys() | others.keys())
            if mine.get(name) != others.get(name)
        ]


def write_workspace(root: Path, model: Path) -> Path:
    """Write a workspace's raw data, and the model if it does not exist yet."""
    write_tiny_task(root / "data_raw")
    if not model.is_dir():
        write_tiny_model(model)
    return root


def output_file(root: Path) -> Path:
    """Return the file with the output of a workspace's runs; outside it, since the workspace's disk may be full."""
    return root.with_name(f"{root.name}-output.txt")


def start(root: Path, model: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `pkd run` in its own process group, with a checkpoint after every step; all methods by default."""
    pkd = str(Path(sys.executable).with_name("pkd"))
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
    with output_file(root).open("ab") as output:
        return subprocess.Popen(
            [pkd, "run", "Tiny", "--model", str(model), "--checkpoint-minutes", "0", *_SETTINGS, *arguments],
            cwd=root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill a process and its children; return False if it had already exited."""
    alive = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def finish(root: Path, model: Path, *arguments: str) -> None:
    """Start a run as `start` does, and wait until it finishes.

    Raises:
        AssertionError: If the run fails; with the end of its output.
    """
    status = start(root, model, *arguments).wait(timeout=600)
    assert status == 0, output_file(root).read_text(encoding="utf-8", errors="replace")[-3000:]


def read_result(root: Path) -> Result:
    """Return the results of a finished workspace."""
    files: dict[str, Any] = {}
    for path in sorted(root.glob("*/Tiny/*/manifest.json")):
        manifest = read_manifest(path.parent)
        evaluation = path.with_name("evaluation.json")
        if evaluation.is_file():
            files[manifest.stage] = json.loads(evaluation.read_text(encoding="utf-8"))["scores"]
        elif not path.with_name("speed.json").is_file():
            files |= {f"{manifest.stage}/{entry.name}": entry.xxh3 for entry in manifest.files}
    store = ensure_store(root)
    curves: dict[str, Any] = {}
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'FINISHED'"):
        if FAILED_STAGES_TAG in run.data.tags:
            continue
        for metric in run.data.metrics.keys() - {"speed_ratio"}:
            history = store.client.get_metric_history(run.info.run_id, metric)
            points = sorted((point.step, point.value) for point in history)
            curves.setdefault(f"{run.info.run_name} {metric}", []).append(points)
    return Result(files, curves, _read_registry(store))


def _read_registry(store: Store) -> dict[str, Any]:
    versions = store.client.search_model_versions()
    registry: dict[str, Any] = {}
    for version in versions:
        # Which version has which number depends on the order in which stages end.
        found = registry.setdefault(f"{version.name} {version.tags['fingerprint']}", [])
        found.append([version.tags.get("score"), version.description])
    for model in store.client.search_registered_models():
        scores = {int(one.version): one.tags.get("score") for one in versions if one.name == model.name}
        newest, best = (int(model.aliases.get(alias, 0)) for alias in ("newest", "best"))
        registry[model.name] = [newest == max(scores), scores.get(best), model.description]
    running = store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'")
    return registry | {"running": sorted(run.info.run_name for run in running)}
