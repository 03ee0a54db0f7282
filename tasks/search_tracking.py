"""What MLflow records of a search: a run of its own, and below it a run for each point that was tried."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore
from tasks.completion import complete_run
from tasks.mlflow_store import Store
from tasks.run_contents import RunContents, create_run, fill_points, fill_settings, finish_run
from tasks.unfinished import attempt_file

# The tag by which MLflow's pages show a run below another.
PARENT = "mlflow.parentRunId"
_MOST_CHILDREN = 50_000


def log_search(
    stage: Stage, spec: SearchSpec, record: StageRecord, context: RunContext, flow_run: str
) -> None:
    """Log a search's report, and each point that it has tried, as far as MLflow does not have them.

    Raises:
        PkdError: If MLflow does not accept it.
    """
    folder = StageStore(context.workspace).fetch(stage.address)
    result = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    tags = {
        "task": spec.task,
        "method": stage.kind.value,
        "layers": str(spec.num_layers),
        "seed": "",
        "base_model": spec.base_model,
        "chosen_on": result["chosen_on"],
        "flow_run": flow_run,
    }
    name = f"search/{spec.task.lower()}-{spec.num_layers}l"
    best = result["best"]

    def add_files(store: Store, run_id: str) -> None:
        for path in sorted(folder.glob("search.*")):
            store.client.log_artifact(run_id, str(path))
        _add_points(store, run_id, list(_points(stage, tags, result, run_id)), record.digest)

    complete_run(
        context.workspace,
        attempt_file(context.workspace, stage.address),
        RunContents(
            name=name,
            tags=tags | {"fingerprint": stage.fingerprint, "best": best["method"]},
            params={"best.method": best["method"], **best["settings"]},
            datasets={},
        ),
        record.digest,
        [(0, {f"search/{one['method']}": one["mean"] for one in result["best_of_each_method"]})],
        add_files,
    )


def _points(
    stage: Stage, tags: Mapping[str, str], result: Mapping[str, Any], parent: str
) -> Iterator[tuple[RunContents, dict[str, float]]]:
    """Yield what MLflow holds of each point: its settings, and its scores on what was chosen by."""
    for one in result["rounds"]:
        for rank, point in enumerate(one["points"], 1):
            contents = RunContents(
                name=f"{one['method']} {rank}",
                tags={
                    **tags,
                    "method": one["method"],
                    "fingerprint": f"{stage.fingerprint}/{one['method']}/{rank}",
                    "is_best": str(rank == 1).lower(),
                    PARENT: parent,
                },
                params={**one["kept"], **point["settings"]},
                datasets={},
            )
            values = {"search_score": point["mean"]}
            if point["std"] is not None:
                values["search_score_std"] = point["std"]
            values |= {f"search_score/seed-{seed}": score for seed, score in point["scores"].items()}
            yield contents, values


def _add_points(
    store: Store, parent: str, points: list[tuple[RunContents, dict[str, float]]], digest: str
) -> None:
    found = store.client.search_runs(
        [store.experiment_id], f"tags.`{PARENT}` = '{parent}'", max_results=_MOST_CHILDREN
    )
    known = {run.data.tags.get("fingerprint"): run for run in found}
    for contents, values in points:
        run = known.get(contents.fingerprint)
        if run is not None and run.info.status == "FINISHED":
            continue
        run_id = run.info.run_id if run is not None else create_run(store, contents)
        fill_settings(store, run_id, contents)
        fill_points(store, run_id, [(0, values)])
        finish_run(store, run_id, digest)
