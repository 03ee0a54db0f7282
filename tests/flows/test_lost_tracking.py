"""What MLflow lost of a finished run comes back with the next run, from the published files, without computing."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from flow_runs import TRAININGS, start
from tiny import write_tiny_model, write_tiny_task

from pkd_core.store.catalog import local_addresses
from tasks.mlflow_store import Store, ensure_store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, server: None) -> Path:
    """A workspace with a finished run of one task."""
    root = tmp_path_factory.mktemp("lost")
    write_tiny_model(root / "model")
    write_tiny_task(root / "data_raw", "TinyA")
    assert start(root, ("TinyA",)).is_completed()
    return root


def contents(store: Store) -> dict[str, Any]:
    """Return what MLflow holds, without ids, times and flow runs; a point that is there twice counts twice."""
    running = store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'")
    held: dict[str, Any] = {"running": sorted(run.info.run_name for run in running)}
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'FINISHED'"):
        points = {
            key: sorted(
                (point.step, point.value) for point in store.client.get_metric_history(run.info.run_id, key)
            )
            for key in run.data.metrics
        }
        tags = {
            key: run.data.tags.get(key)
            for key in ("task", "method", "seed", "base_model", "fingerprint", "digest", "error")
        }
        inputs = sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs)
        files = sorted(file.path for file in store.client.list_artifacts(run.info.run_id))
        held[run.info.run_name] = (run.info.status, points, tags, run.data.params, inputs, files)
    for version in store.client.search_model_versions():
        scored = [version.tags.get(key) for key in ("score", "metric", "dev_data", "base_model")]
        held[f"{version.name} {version.tags['fingerprint']}"] = (scored, version.description)
    for model in store.client.search_registered_models():
        best = store.client.get_model_version(model.name, str(model.aliases["best"]))
        held[model.name] = (best.tags["score"], model.description)
    return held


def published(root: Path) -> dict[str, int]:
    folders = [address.folder for address in local_addresses(root)]
    return {str(folder): (root / folder / "manifest.json").stat().st_mtime_ns for folder in folders}


def test_a_deleted_database_is_filled_again_from_the_published_files(root: Path, tmp_path: Path) -> None:
    before = contents(ensure_store(root))
    assert len(before) == 2 * len(TRAININGS) + 4
    # At another path, because MLflow's client remembers an open database.
    shutil.copytree(root, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow*"))
    files = published(tmp_path)
    assert start(tmp_path, ("TinyA",)).is_completed()
    assert contents(ensure_store(tmp_path)) == before
    assert published(tmp_path) == files


def test_runs_models_and_scores_that_are_missing_are_completed_and_the_rest_is_left_as_it_is(
    root: Path,
) -> None:
    store = ensure_store(root)
    before, files = contents(store), published(root)
    runs = {run.info.run_name: run.info.run_id for run in store.client.search_runs([store.experiment_id])}
    store.client.delete_run(runs["tinya/kd-2l-s42"])
    store.client.delete_registered_model("pkd-TinyA-2l")
    store.client.delete_run(runs["report/tinya"])
    store.client.log_metric(runs["tinya/teacher"], "score", -1.0, step=0, timestamp=2_000_000_000_000)
    # As an evaluation on another machine would, whose speed differs.
    finetuned = runs["tinya/finetune-2l-s42"]
    store.client.log_metric(finetuned, "speed_ratio", 99.0, step=0, timestamp=2_000_000_000_000)
    store.client.log_metric(finetuned, "distance/after/layer-1", 99.0, step=0, timestamp=2_000_000_000_000)
    assert start(root, ("TinyA",)).is_completed()
    after = contents(store)
    changed = ("tinya/finetune-2l-s42", "distance/after/layer-1")
    for name, metric in (("tinya/teacher", "score"), ("tinya/finetune-2l-s42", "speed_ratio"), changed):
        shown = store.client.get_run(runs[name]).data.metrics[metric]
        assert shown == before[name][1][metric][0][1]
        before[name] = after[name]
    assert after == before
    assert published(root) == files
    again = {run.info.run_name: run.info.run_id for run in store.client.search_runs([store.experiment_id])}
    assert again["tinya/finetune-2l-s42"] == runs["tinya/finetune-2l-s42"]
    assert start(root, ("TinyA",)).is_completed()
    assert contents(store) == after


@pytest.mark.slow
def test_models_that_an_earlier_version_logged_are_logged_again_under_the_name_of_their_depth(
    root: Path,
) -> None:
    store = ensure_store(root)
    before = contents(store)
    # Earlier versions registered by method, knew no scores and no base model, and had other models.
    for version in store.client.search_model_versions("name = 'pkd-TinyA-2l'"):
        store.client.delete_tag(version.run_id, "base_model")
        old = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{version.run_id}'")
        store.client.delete_logged_model(old[0].model_id)
    store.client.rename_registered_model("pkd-TinyA-2l", "pkd-TinyA-kd-2l")
    assert start(root, ("TinyA",)).is_completed()
    after = contents(store)
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {key for key in after if key.startswith("pkd-TinyA-kd-2l")}
    store.client.delete_registered_model("pkd-TinyA-kd-2l")


@pytest.mark.slow
def test_two_students_whose_folders_were_swapped_are_built_again_and_mlflow_stays_as_it_was(
    root: Path,
) -> None:
    store = ensure_store(root)
    before, files = contents(store), published(root)
    first, second = (next(root.glob(f"artifacts/TinyA/{name}-2l-s42-*")) for name in ("finetune", "kd"))
    first.rename(root / "swapped")
    second.rename(first)
    (root / "swapped").rename(second)
    assert start(root, ("TinyA",)).is_completed()
    assert contents(store) == before
    rebuilt = {folder for folder, time in published(root).items() if files[folder] != time}
    assert rebuilt == {folder.relative_to(root).as_posix() for folder in (first, second)}


def test_a_damaged_model_is_not_logged_and_the_next_run_builds_it_again(root: Path) -> None:
    store = ensure_store(root)
    before = contents(store)
    runs = {run.info.run_name: run.info.run_id for run in store.client.search_runs([store.experiment_id])}
    store.client.delete_run(runs["tinya/kd-2l-s42"])
    store.client.delete_registered_model("pkd-TinyA-2l")
    (path,) = root.glob("artifacts/TinyA/kd-2l-s42-*/model.safetensors")
    weights = bytearray(path.read_bytes())
    weights[-1] ^= 1
    path.write_bytes(weights)
    message = str(start(root, ("TinyA",)).message)
    assert (
        "MLflow needs TinyA/kd-2l-s42 as it was published, but model.safetensors has other bytes" in message
    )
    assert "; it was moved to " in message
    assert start(root, ("TinyA",)).is_completed()
    after = contents(store)
    # The failed run has a report of its own, over what it had.
    assert after.pop("report/tinya (partial)") is not None
    assert after == before


def test_a_tracking_server_that_does_not_answer_ends_a_run_in_one_sentence_before_it_computes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = published(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    state = start(root, ("TinyA",), student__learning_rate=0.5)
    assert state.is_failed()
    assert str(state.message).startswith("MLflow needs to log experiment pkd, but its store answers ")
    assert str(state.message).endswith(
        "; check its server at http://127.0.0.1:9, which MLFLOW_TRACKING_URI names, and run again."
    )
    assert published(root) == files
