"""What MLflow shows of a run is what the workspace's published files hold."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flow_runs import start
from mlflow.entities import Run
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from pkd_core.evaluation.distances_result import read_distances
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.models import find_model
from tasks.mlflow_store import ensure_store


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, server: None) -> tuple[Path, Mapping[str, Run]]:
    """A finished flow run over one task, and MLflow's runs by name."""
    root = tmp_path_factory.mktemp("tracked")
    write_tiny_model(root / "model")
    write_tiny_task(root / "data_raw", "TinyA")
    assert start(root, ("TinyA",), distill__temperature=3.0, student__learning_rate=1e-3).is_completed()
    store = ensure_store(root)
    runs = store.client.search_runs([store.experiment_id])
    return root, {run.info.run_name: run for run in runs}


def published(root: Path, stage: str) -> Path:
    (folder,) = root.glob(f"*/TinyA/{stage}-{'[0-9a-f]' * 16}")
    return folder


@pytest.mark.parametrize(
    ("stage", "method", "layers", "seed"),
    [
        ("teacher", "teacher", "4", "42"),
        ("finetune-2l-s42", "finetune", "2", "42"),
        ("kd-2l-s42", "kd", "2", "42"),
    ],
)
def test_a_training_has_its_origin_as_tags(
    stage: str, method: str, layers: str, seed: str, tracked: tuple[Path, Mapping[str, Run]]
) -> None:
    root, runs = tracked
    tags = runs[f"tinya/{stage}"].data.tags
    assert (tags["task"], tags["method"], tags["layers"], tags["seed"]) == ("TinyA", method, layers, seed)
    assert tags["base_model"] == "model"
    assert tags["base_model_digest"] == find_model(str(root / "model")).weights[:12]
    assert tags["fingerprint"] == published(root, stage).name.rpartition("-")[2]


@pytest.mark.parametrize("stage", ["teacher", "kd-2l-s42"])
def test_a_training_has_its_evaluations_figures(stage: str, tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    metrics = runs[f"tinya/{stage}"].data.metrics
    result = read_result(published(root, f"evaluation-{stage}"))
    expected = {f"best/{name}": value for name, value in result.scores.items()}
    expected |= {
        "score": result.score,
        "parameters": result.parameters,
        "size_mb": result.size_bytes / 1e6,
        "best_epoch": result.best_epoch,
    }
    if result.speed_ratio is not None:
        expected["speed_ratio"] = result.speed_ratio
    assert {name: metrics.get(name) for name in expected} == pytest.approx(expected)
    assert ("speed_ratio" in metrics) == (stage != "teacher")


def test_a_student_has_its_distances_to_the_teacher(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    for student in ("finetune-2l-s42", "kd-2l-s42"):
        layers = read_distances(published(root, f"distances-{student}")).layers
        expected = {f"distance/before/layer-{layer.student_layer}": layer.before for layer in layers}
        expected |= {f"distance/after/layer-{layer.student_layer}": layer.after for layer in layers}
        assert len(expected) == 4
        metrics = runs[f"tinya/{student}"].data.metrics
        assert {name: value for name, value in metrics.items() if name.startswith("distance/")} == expected


def test_a_training_has_its_settings_as_parameters(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    params = runs["tinya/kd-2l-s42"].data.params
    result = read_result(published(root, "evaluation-kd-2l-s42"))
    assert params == {key: str(value) for key, value in result.settings.items()} | {
        "tokens.max_length": "16",
        "compute.threads": "1",
    }
    assert (params["distill.temperature"], params["student.learning_rate"]) == ("3.0", "0.001")
    assert params["student.num_epochs"] == str(QUICK_SETTINGS["student.num_epochs"])


def test_a_training_names_the_data_that_it_read(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    inputs = {one.dataset.name: one.dataset.digest for one in runs["tinya/kd-2l-s42"].inputs.dataset_inputs}
    manifest = json.loads((published(root, "kd-2l-s42") / "manifest.json").read_text())
    assert inputs == {f"TinyA/{part}": digest[:36] for part, digest in manifest["inputs"].items()}
    assert inputs.keys() == {"TinyA/tokens", "TinyA/states", "TinyA/pretrained"}


def test_the_curves_end_at_the_trainings_last_step(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    client = ensure_store(root).client
    training: dict[str, Any] = json.loads((published(root, "kd-2l-s42") / "training.json").read_text())
    curve = client.get_metric_history(runs["tinya/kd-2l-s42"].info.run_id, "train/total")
    assert [point.step for point in curve] == list(range(1, training["num_steps"] + 1))


def test_the_reports_run_has_each_score_and_the_table(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    run = runs["report/tinya"]
    (report,) = root.glob("artifacts/reports/report-*/report.json")
    groups = json.loads(report.read_text())["groups"]
    assert run.data.metrics == pytest.approx(
        {f"report/TinyA-{group['method']}-{group['num_layers']}l": group["score"] for group in groups}
    )
    (page,) = (root / "artifacts" / "mlflow-files").rglob("report.html")
    assert page.read_bytes() == report.with_suffix(".html").read_bytes()
    (path,) = (root / "artifacts" / "mlflow-files").rglob("table.json")
    table = json.loads(path.read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    for row, group in zip(rows, groups, strict=True):
        assert row == pytest.approx({column: group[column] for column in table["columns"]})
    assert {"score", "gap_to_teacher", "times_smaller", "speed_ratio"} <= set(table["columns"])


def test_each_trained_model_is_registered_with_its_labels(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    client = ensure_store(root).client
    for stage, name in (("teacher", "pkd-TinyA-teacher"), ("kd-2l-s42", "pkd-TinyA-2l")):
        versions = client.search_model_versions(f"name = '{name}'")
        (version,) = [one for one in versions if one.run_id == runs[f"tinya/{stage}"].info.run_id]
        score = read_result(published(root, f"evaluation-{stage}")).score
        assert version.tags["score"] == f"{score:.6f}"
        assert version.tags["base_model"] == "model"
        assert version.description.startswith(f"accuracy {100 * score:.1f} on dev: ")


def test_the_best_student_of_a_depth_is_one_address(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, runs = tracked
    best = ensure_store(root).client.get_model_version_by_alias("pkd-TinyA-2l", "best")
    students = [runs["tinya/finetune-2l-s42"], runs["tinya/kd-2l-s42"]]
    (run,) = [run for run in students if run.info.run_id == best.run_id]
    assert run.data.metrics["score"] == max(student.data.metrics["score"] for student in students)


def test_a_model_has_a_card_beside_its_files(tracked: tuple[Path, Mapping[str, Run]]) -> None:
    root, _ = tracked
    cards = [path.read_text() for path in (root / "artifacts" / "mlflow-files").rglob("README.md")]
    (card,) = [card for card in cards if "# TinyA: kd, 2 layers" in card]
    score = read_result(published(root, "evaluation-kd-2l-s42")).scores["dev/f1"]
    assert f"| dev/f1 | {100 * score:.1f} |" in card
    assert "| base model | model |" in card
    assert "| distill.temperature | 3.0 |" in card
    assert len(cards) == 3
