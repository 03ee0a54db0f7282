"""What runs have left, as JSON: in a workspace, in MLflow and in Prefect: `python -m cluster.findings WORKSPACE`.

It asks the servers that the environment names; without a Prefect server, MLflow's database of the workspace.
"""

import base64
import json
import os
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pkd_core.places.opening import open_place
from pkd_core.store.manifest import MANIFEST_NAME, Manifest
from tasks.mlflow_store import ensure_store

# Measured while others compute, so no two runs agree on them.
_MEASURED = ("speed_ratio", "steps_per_second", "seconds")
_EVALUATION = "evaluation.json"


def stages(workspace: str) -> dict[str, Any]:
    """Return the files of each published stage by the stage's folder: their hashes by name.

    An evaluation holds a measured speed: its scores are returned instead. Speeds and reports hold measured times as
    well: nothing of them is returned but their names.
    """
    published = _of_place(workspace) if "://" in workspace else _of_folder(Path(workspace))
    return dict(published)


def _of_place(url: str) -> Iterator[tuple[str, Any]]:
    place = open_place(url)

    def read(key: str) -> bytes:
        content = place.read(key)
        assert content is not None, f"{key} is listed, and not there"
        return content[0]

    for found in place.list(""):
        folder, _, name = found.key.rpartition("/")
        if name == MANIFEST_NAME and folder.split("/")[0] in ("artifacts", "data_feat"):
            manifest = Manifest.from_json(json.loads(read(found.key)))
            files = f"{folder}/attempts/{manifest.attempt}/files"
            yield folder, _comparable(manifest, lambda name, files=files: read(f"{files}/{name}"))


def _of_folder(root: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(root.glob(f"*/*/*/{MANIFEST_NAME}")):
        manifest = Manifest.from_json(json.loads(path.read_bytes()))
        folder = path.parent
        yield (
            folder.relative_to(root).as_posix(),
            _comparable(
                manifest,
                lambda name, folder=folder: (folder / name).read_bytes(),
            ),
        )


def _comparable(manifest: Manifest, read: Any) -> Any:
    names = [entry.name for entry in manifest.files]
    if _EVALUATION in names:
        return json.loads(read(_EVALUATION))["scores"]
    if "speed.json" in names or manifest.task == "reports":
        return names
    return {entry.name: entry.xxh3 for entry in manifest.files}


def tracked(workspace: Path) -> dict[str, Any]:
    """Return MLflow's runs: each one's name, status and error, its curves, and how many points it has twice."""
    store = ensure_store(workspace)
    runs = store.client.search_runs([store.experiment_id], max_results=5000)
    return {
        run.info.run_id: {
            "name": run.info.run_name,
            "status": run.info.status,
            "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
            **_curves(store.client, run.info.run_id, sorted(run.data.metrics)),
        }
        for run in runs
    }


def _curves(client: Any, run_id: str, metrics: list[str]) -> dict[str, Any]:
    curves, num_double = {}, 0
    for metric in metrics:
        points = client.get_metric_history(run_id, metric)
        num_double += sum(count - 1 for count in Counter(point.step for point in points).values())
        if not any(word in metric for word in _MEASURED):
            curves[metric] = sorted((point.step, point.value) for point in points)
    return {"curves": curves, "num_double_points": num_double}


def task_runs() -> list[dict[str, Any]]:
    """Return the task runs that Prefect's server knows: name, state, message and times."""
    found: list[dict[str, Any]] = []
    while page := _ask_prefect("task_runs/filter", {"limit": 200, "offset": len(found)}):
        found += page
    return [
        {
            key: run[key]
            for key in ("name", "state_name", "run_count", "start_time", "end_time", "total_run_time")
        }
        for run in found
    ]


def flow_runs() -> list[str]:
    """Return the state of each flow run."""
    return [run["state_name"] for run in _ask_prefect("flow_runs/filter", {"limit": 200})]


def _ask_prefect(path: str, question: dict[str, Any]) -> list[dict[str, Any]]:
    login = base64.b64encode(os.environ["PREFECT_API_AUTH_STRING"].encode()).decode()
    request = urllib.request.Request(
        f"{os.environ['PREFECT_API_URL']}/{path}",
        json.dumps(question).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: list[dict[str, Any]] = json.load(response)
    return answer


if __name__ == "__main__":
    place = sys.argv[1]
    findings: dict[str, Any] = {"stages": stages(place)}
    if "PREFECT_API_URL" in os.environ:
        findings |= {"task_runs": task_runs(), "flow_runs": flow_runs()}
    findings["mlflow"] = tracked(Path() if "://" in place else Path(place))
    sys.stdout.write(json.dumps(findings))
