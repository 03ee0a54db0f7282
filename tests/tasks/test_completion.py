"""What MLflow must hold of a published stage is completed from its files, whatever was logged before."""

from pathlib import Path

import pytest
from runs import complete, file_of, finished, history, run_of, runs_of, table_unavailable, tracked

from pkd_core.errors import StoreError
from tasks.completion import complete_values
from tasks.mlflow_store import Store
from tasks.run_contents import find_finished


def nothing(_store: Store, _run: object) -> None:
    """Add nothing to the final values."""


POINTS = [(1, {"train/total": 0.5}), (2, {"train/total": 0.25}), (2, {"dev/f1": 0.75})]


def test_a_run_that_lost_its_last_points_and_its_end_is_completed(workspace: Path, store: Store) -> None:
    with tracked(workspace, "c-lost", params={"student.seed": 1}) as run:
        run.metrics(1, {"train/total": 0.5})
        run.flush()
    # The process is killed here, just after it published the stage.
    assert complete(workspace, "c-lost", POINTS, params={"student.seed": 1}) == [run.run_id]
    found = run_of(store, "c-lost")
    assert found.info.status == "FINISHED"
    assert found.data.tags["digest"] == "d1"
    assert history(store, run.run_id, "train/total") == [(1, 0.5), (2, 0.25)]
    assert history(store, run.run_id, "dev/f1") == [(2, 0.75)]
    assert not file_of(workspace, "c-lost").exists()


def test_completing_again_changes_nothing(workspace: Path, store: Store) -> None:
    run_id = finished(workspace, "c-twice", points=POINTS)
    before = store.client.get_run(run_id).to_dictionary()
    # The files are offered to it again: what a model lacks is only known where it is logged.
    assert complete(workspace, "c-twice", POINTS) == [run_id]
    assert store.client.get_run(run_id).to_dictionary() == before
    assert list(runs_of(store, "c-twice")) == [run_id]


def test_a_stage_whose_run_is_gone_gets_a_complete_new_one(workspace: Path, store: Store) -> None:
    params, datasets = {"student.seed": 1}, {"RTE/tokens": "aa"}
    (run_id,) = complete(workspace, "c-gone", POINTS, params=params, datasets=datasets)
    found = run_of(store, "c-gone")
    assert (found.info.run_id, found.info.status, found.info.run_name) == (
        run_id,
        "FINISHED",
        "rte/pkd-skip-3l",
    )
    assert found.data.params == {"student.seed": "1"}
    assert [one.dataset.name for one in found.inputs.dataset_inputs] == ["RTE/tokens"]
    assert history(store, run_id, "train/total") == [(1, 0.5), (2, 0.25)]


def test_a_completion_that_fails_is_repeated_by_the_next_one(workspace: Path, store: Store) -> None:
    with tracked(workspace, "c-repeated") as run:
        pass
    with (
        table_unavailable(workspace),
        pytest.raises(StoreError, match=r"^MLflow needs to log rte/pkd-skip-3l, but its store answers"),
    ):
        complete(workspace, "c-repeated", POINTS)
    assert store.client.get_run(run.run_id).info.status == "RUNNING"
    assert complete(workspace, "c-repeated", POINTS) == [run.run_id]
    assert history(store, run.run_id, "train/total") == [(1, 0.5), (2, 0.25)]


def test_a_failed_run_of_a_published_stage_becomes_finished_without_its_error(
    workspace: Path, store: Store
) -> None:
    with pytest.raises(ValueError), tracked(workspace, "c-failed") as run:
        raise ValueError("the disk was full for a moment")
    complete(workspace, "c-failed")
    found = store.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert "error" not in found.data.tags


def test_a_stage_built_again_with_equal_bytes_keeps_its_run_and_with_others_gets_another(
    workspace: Path, store: Store
) -> None:
    first = finished(workspace, "c-built")
    with tracked(workspace, "c-built") as same:
        pass
    assert complete(workspace, "c-built") == [first]
    assert runs_of(store, "c-built") == {first: "FINISHED"}
    assert store.client.get_run(same.run_id).info.lifecycle_stage == "deleted"

    with tracked(workspace, "c-built") as other:
        pass
    assert complete(workspace, "c-built", digest="d2") == [other.run_id]
    assert runs_of(store, "c-built") == {first: "FINISHED", other.run_id: "FINISHED"}
    for digest, run_id in (("d1", first), ("d2", other.run_id)):
        found = find_finished(store, "c-built", digest)
        assert found is not None
        assert found.info.run_id == run_id
    assert find_finished(store, "c-built", "d3") is None


def test_a_run_of_an_earlier_version_names_no_bytes_and_counts_as_the_stages(
    workspace: Path, store: Store
) -> None:
    run_id = finished(workspace, "c-earlier")
    store.client.delete_tag(run_id, "digest")
    assert complete(workspace, "c-earlier", digest="any") == [run_id]


def test_a_finished_run_of_an_earlier_version_gets_the_tags_that_it_lacks(
    workspace: Path, store: Store
) -> None:
    run_id = finished(workspace, "c-tags")
    tags = store.client.get_run(run_id).data.tags
    complete(workspace, "c-tags", tags={"fingerprint": "c-tags", "seed": "7", "base_model": "tiny"})
    assert store.client.get_run(run_id).data.tags == tags | {"base_model": "tiny"}


def test_final_values_are_what_tables_show_and_are_logged_once(workspace: Path, store: Store) -> None:
    run_id = finished(workspace, "c-values", points=POINTS)
    for _ in range(2):
        complete_values(workspace, "c-values", "d1", {"score": 0.67, "parameters": 45_700_000}, nothing)
    assert history(store, run_id, "score") == [(0, 0.67)]
    assert history(store, run_id, "parameters") == [(0, 45_700_000)]
    metrics = store.client.get_run(run_id).data.metrics
    assert metrics == {"score": 0.67, "parameters": 45_700_000, "train/total": 0.25, "dev/f1": 0.75}


def test_a_final_value_that_was_measured_again_is_the_one_that_tables_show(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = finished(workspace, "c-again")
    complete_values(workspace, "c-again", "d1", {"speed_ratio": 2.0}, nothing)
    # The clock was set back by a day meanwhile.
    monkeypatch.setattr("tasks.run_contents.time.time", lambda: 1.0)
    complete_values(workspace, "c-again", "d1", {"speed_ratio": 1.5}, nothing)
    assert store.client.get_run(run_id).data.metrics == {"speed_ratio": 1.5}


def test_final_values_of_a_model_without_a_finished_run_are_an_error(workspace: Path, store: Store) -> None:
    with pytest.raises(StoreError, match="no finished run of the model c-none; run again"):
        complete_values(workspace, "c-none", "d1", {"score": 1.0}, nothing)
