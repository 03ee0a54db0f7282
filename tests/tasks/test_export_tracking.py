"""An exported model has a run and a registered version, and a later run adds what MLflow lacks of them."""

from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import pytest
from tiny import write_tiny_model, write_tiny_task
from tiny_bundle import write_tiny_bundle

from pkd_core.config.overrides import build_run_config, build_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.export.result import ExportResult, write_export
from pkd_core.pipeline.export_stages import export_stage
from pkd_core.pipeline.plan import Plan, find_inputs, make_plan, plan_stages
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore
from tasks.completeness import find_incomplete
from tasks.completion import complete_run, complete_values
from tasks.export_tracking import log_export
from tasks.mlflow_store import Store
from tasks.registered_stage import find_registered
from tasks.run_contents import RunContents
from tasks.unfinished import attempt_file

SETTINGS = {"tokens.max_length": 16}
RESULT = ExportResult(
    model="kd-2l-s42",
    kind="classes",
    max_length=16,
    bytes={"model.onnx": 4_000_000, "model.int8.onnx": 1_000_000},
    parity_texts=24,
    largest_difference=1e-6,
    num_dev=24,
    share_changed=0.01,
    max_changed=0.02,
    refused="",
    int8_scores={"dev/accuracy": 0.75, "dev/macro_f1": 0.5},
    machine="",
    versions={},
)


class Exported:
    """A workspace with two published exports of untrained models: of a student in int8, of the teacher in float32."""

    def __init__(self, root: Path) -> None:
        write_tiny_task(root / "data_raw")
        write_tiny_model(root / "model", num_layers=4)
        run = build_run_config(tasks=["Tiny"], methods=["kd"], model=str(root / "model"), settings=SETTINGS)
        inputs = find_inputs(run, root, "cpu")
        models = {one.stage.name: one.stage for one in make_plan(run, root, device="cpu").stages}
        self.models = {name: models[name] for name in ("kd-2l-s42", "teacher")}
        self.inputs = {
            name: {"model": StageRecord("Tiny", name, model.fingerprint, "d1", "")}
            for name, model in models.items()
        }
        exports = [
            export_stage(inputs.tasks["Tiny"], build_settings(SETTINGS), model, inputs.raw_hashes["Tiny"])
            for model in self.models.values()
        ]
        self.stages = dict(zip(self.models, exports, strict=True))
        refused = replace(RESULT, model="teacher", refused="It changes too much.", int8_scores={})
        files = ("model.onnx", "model.int8.onnx")
        self.records = {
            "kd-2l-s42": self._publish(root, self.stages["kd-2l-s42"], RESULT, files),
            "teacher": self._publish(root, self.stages["teacher"], refused, files[:1]),
        }
        known = {model.key: self.inputs[name]["model"] for name, model in self.models.items()}
        self.plan: Plan = plan_stages(run, root, inputs, exports, known=known)

    def _publish(self, root: Path, stage: Stage, result: ExportResult, files: tuple[str, ...]) -> StageRecord:
        store, inputs = StageStore(root), {"model": "d1", **stage.sources}
        with store.writing(stage.address, inputs) as work:
            write_tiny_bundle(work, files=files)
            write_export(work, result)
            return store.publish(stage.address, code_version=1, config={}, inputs=inputs, facts={})

    def log(self, name: str) -> None:
        context = self.plan.context(RunOptions(device="cpu"))
        log_export(self.stages[name], self.inputs[name], self.records[name], context, "some-flow")


@pytest.fixture(scope="module")
def exported(workspace: Path, store: Store) -> Exported:
    return Exported(workspace)


def test_int8_is_registered_with_its_own_score_and_found_again(
    exported: Exported, workspace: Path, store: Store
) -> None:
    stage = exported.stages["kd-2l-s42"]
    assert stage.key in find_incomplete(exported.plan)
    exported.log("kd-2l-s42")
    assert stage.key not in find_incomplete(exported.plan)
    best = store.client.get_model_version_by_alias("pkd-Tiny-2l-onnx", "best")
    assert best.description == "accuracy 75.0 on dev: kd, 2 layers, seed 42, onnx-int8."
    assert (best.tags["score"], best.tags["dev_data"]) == ("0.750000", stage.sources["raw/dev"][:12])
    run = store.client.get_run(best.run_id)
    assert run.info.run_name == "tiny/export-kd-2l-s42"
    assert run.data.metrics == pytest.approx(
        {
            "int8/dev/accuracy": 0.75,
            "int8/dev/macro_f1": 0.5,
            "size_mb": 1.0,
            "largest_difference": 1e-6,
            "share_changed": 0.01,
        }
    )
    assert mlflow.pyfunc.load_model(best.source).predict(["good film"])["label"][0] == "up"
    assert find_registered(workspace, "models:/pkd-Tiny-2l-onnx@best") == workspace / stage.address.folder


def test_logging_again_adds_only_what_is_lost(exported: Exported, store: Store) -> None:
    exported.log("kd-2l-s42")
    stage = exported.stages["kd-2l-s42"]
    (version,) = store.client.search_model_versions("name = 'pkd-Tiny-2l-onnx'")
    store.client.delete_model_version_tag(version.name, version.version, "score")
    store.client.delete_registered_model_alias(version.name, "best")
    assert stage.key in find_incomplete(exported.plan)
    exported.log("kd-2l-s42")
    assert stage.key not in find_incomplete(exported.plan)
    (same,) = store.client.search_model_versions("name = 'pkd-Tiny-2l-onnx'")
    assert (same.version, same.run_id, same.tags["score"]) == (version.version, version.run_id, "0.750000")
    assert (
        len(store.client.search_logged_models([store.experiment_id], "name = 'Tiny-export-kd-2l-s42'")) == 1
    )


def test_float32_gets_the_score_and_the_origin_of_its_model_which_need_not_be_registered(
    exported: Exported, workspace: Path, store: Store
) -> None:
    teacher = exported.models["teacher"]
    tags = {
        "task": "Tiny",
        "method": "teacher",
        "base_model": "tiny-bert",
        "fingerprint": teacher.fingerprint,
    }
    contents = RunContents("tiny/teacher", tags, {}, {})
    complete_run(workspace, attempt_file(workspace, teacher.address), contents, "d1", [], lambda *_: None)
    complete_values(workspace, teacher.fingerprint, "d1", {"best/dev/accuracy": 0.875}, lambda *_: None)

    exported.log("teacher")
    best = store.client.get_model_version_by_alias("pkd-Tiny-teacher-onnx", "best")
    assert best.description == "accuracy 87.5 on dev: teacher, onnx-float32, from tiny-bert."
    assert best.tags["dev_data"] == exported.stages["teacher"].sources["raw/dev"][:12]
    assert exported.stages["teacher"].key not in find_incomplete(exported.plan)
