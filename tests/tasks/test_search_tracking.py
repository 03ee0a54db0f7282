"""A search in MLflow: one run, with a run for each point below it, completed whatever was logged before."""

from pathlib import Path

import pytest
from mlflow.entities import Run

from pkd_core.config.run_options import RunOptions
from pkd_core.errors import StoreError
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.pipeline.stage import Stage, make_stage
from pkd_core.report.search_results import FinalScore, HeldOut, SearchResult, TriedPoint, TriedRound
from pkd_core.report.search_write import write_search_report
from pkd_core.store.address import StageRecord
from tasks import search_tracking
from tasks.mlflow_store import Store
from tasks.search_tracking import PARENT, log_search

KD = TriedRound(
    "kd",
    {"teacher.learning_rate": 2e-5},
    (
        TriedPoint({"distill.alpha": 0.2}, {1: 0.70, 2: 0.72}),
        TriedPoint({"distill.alpha": 0.5}, {1: 0.74, 2: 0.76}),
    ),
)
FINAL = FinalScore("kd", {"distill.alpha": 0.5}, {1: 0.7, 2: 0.7}, "pkd run")


def published(workspace: Path, name: str) -> tuple[Stage, SearchSpec, StageRecord]:
    """Publish a search's report, and return its stage and record."""
    spec = SearchSpec(
        task=name,
        num_layers=3,
        base_model="bert",
        base_model_digest="d",
        holdout=None,
        sampler="grid",
        rounds=(),
        finals=(),
    )
    stage = make_stage("reports", "search", spec, {}, {})
    folder = workspace / stage.address.folder
    folder.mkdir(parents=True)
    write_search_report(
        folder, SearchResult(name, 3, "accuracy", HeldOut(0.1, 0), 300, 400, "grid", (KD,), (FINAL,))
    )
    path = stage.address.folder.as_posix()
    return stage, spec, StageRecord("reports", "search", stage.fingerprint, "d1", path)


def log(workspace: Path, name: tuple[Stage, SearchSpec, StageRecord]) -> None:
    stage, spec, record = name
    model = PretrainedModel("bert", workspace, "w", "t", 12, 512)
    log_search(stage, spec, record, RunContext(workspace, model, {}, RunOptions(), ""), "a flow run")


def parent_of(store: Store, stage: Stage) -> Run:
    (run,) = store.client.search_runs([store.experiment_id], f"tags.fingerprint = '{stage.fingerprint}'")
    return run


def points_of(store: Store, parent: Run) -> list[Run]:
    runs = store.client.search_runs([store.experiment_id], f"tags.`{PARENT}` = '{parent.info.run_id}'")
    return sorted(runs, key=lambda run: str(run.info.run_name))


def test_each_point_is_a_run_below_the_searchs_with_its_settings_and_scores(
    workspace: Path, store: Store
) -> None:
    search = published(workspace, "points")
    log(workspace, search)
    parent = parent_of(store, search[0])
    assert (parent.info.run_name, parent.info.status) == ("search/points-3l", "FINISHED")
    assert parent.data.params == {"best.method": "kd", "distill.alpha": "0.5"}
    assert parent.data.metrics == {"search/kd": pytest.approx(0.7)}
    assert parent.data.tags["chosen_on"] == "train"
    files = {file.path for file in store.client.list_artifacts(parent.info.run_id)}
    assert {"search.json", "search.md", "search.png"} <= files
    best, other = points_of(store, parent)
    assert best.data.params == {"teacher.learning_rate": "2e-05", "distill.alpha": "0.5"}
    assert best.data.metrics == {
        "search_score": pytest.approx(0.75),
        "search_score_std": pytest.approx(0.01414, abs=1e-5),
        "search_score/seed-1": pytest.approx(0.74),
        "search_score/seed-2": pytest.approx(0.76),
    }
    assert (best.data.tags["is_best"], other.data.tags["is_best"]) == ("true", "false")
    assert {best.info.status, other.info.status} == {"FINISHED"}


def test_what_a_killed_process_did_not_log_is_added_by_the_next_and_nothing_twice(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = published(workspace, "killed")
    finish, num_finished = search_tracking.finish_run, 0

    def die_at_the_second(*args: object) -> None:
        nonlocal num_finished
        num_finished += 1
        if num_finished == 2:
            raise StoreError("the process dies here.")
        finish(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(search_tracking, "finish_run", die_at_the_second)
        with pytest.raises(StoreError):
            log(workspace, search)
    parent = parent_of(store, search[0])
    assert parent.info.status == "RUNNING"
    before = points_of(store, parent)
    assert [run.info.status for run in before] == ["FINISHED", "RUNNING"]

    log(workspace, search)
    log(workspace, search)
    after = parent_of(store, search[0])
    assert (after.info.run_id, after.info.status) == (parent.info.run_id, "FINISHED")
    points = points_of(store, after)
    assert [run.info.run_id for run in points] == [run.info.run_id for run in before]
    assert [run.info.status for run in points] == ["FINISHED", "FINISHED"]
