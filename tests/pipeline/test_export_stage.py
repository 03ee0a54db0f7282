"""The export of a model: what is published, what a gate keeps back, and what its address depends on."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dags import HASHES, dag
from tiny import write_tiny_model, write_tiny_task
from tiny_bert import tiny_config
from transformers import BertForSequenceClassification

from pkd_core.config.overrides import build_run_config, build_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Task
from pkd_core.errors import ConfigError, ModelError, PkdError
from pkd_core.evaluation.answers import read_answers
from pkd_core.export.bundle_predict import FLOAT32, INT8, Model
from pkd_core.export.result import int8_answers, read_export
from pkd_core.pipeline.export_stages import export_stage
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import Plan, RunInputs, find_inputs, make_plan, plan_stages
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.stages import export, export_source
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore

SETTINGS = {"tokens.max_length": 16, "compute.threads": 1}
FILES = {"model.onnx", "model.int8.onnx", "tokenizer.json", "bundle.json", "predict.py"}


class Workspace:
    """A workspace with a published teacher that was never trained, and has clear answers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_tiny_task(root / "data_raw")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            write_tiny_model(root / "model", num_layers=2)
            self.run = build_run_config(
                tasks=["Tiny"], methods=["kd"], model=str(root / "model"), settings=SETTINGS
            )
            plan = make_plan(self.run, root, device="cpu")
            self.inputs: RunInputs = find_inputs(self.run, root, "cpu")
            stages = {planned.stage.key: planned.stage for planned in plan.stages}
            self.teacher = stages["Tiny/teacher"]
            self.known = {"Tiny/teacher": self._publish(random_classifier(1))}

    def _publish(self, model: BertForSequenceClassification) -> StageRecord:
        store, inputs = StageStore(self.root), {"tokens": "0" * 64}
        with store.writing(self.teacher.address, inputs) as work:
            model.save_pretrained(work)
            for path in (self.root / "model").glob("tokenizer*"):
                shutil.copy(path, work)
            return store.publish(self.teacher.address, code_version=2, config={}, inputs=inputs, facts={})

    def export(self, max_changed: float = 1.0) -> Path:
        """Build the export in a plan of its own, as a compression does; return its folder."""
        settings = build_settings(SETTINGS | {"export.max_changed": max_changed})
        task = self.inputs.tasks["Tiny"]
        stage = export_stage(task, settings, self.teacher, self.inputs.raw_hashes["Tiny"])
        plan: Plan = plan_stages(self.run, self.root, self.inputs, [stage], known=self.known)
        records: Mapping[str, StageRecord] = build_stages(plan, RunOptions(device="cpu"), known=self.known)
        return self.root / records[stage.key].path


def random_classifier(seed: int) -> BertForSequenceClassification:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = tiny_config(1, 0.1, num_labels=2, vocab_size=19, max_position_embeddings=256)
        config.id2label = {0: "down", 1: "up"}
        model = BertForSequenceClassification(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(8)  # else all texts get nearly the same logits
    return model


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def exported(workspace: Workspace) -> Path:
    return workspace.export()


def test_an_export_publishes_the_bundle_its_measurements_and_the_answers_of_int8(exported: Path) -> None:
    assert exported.name.startswith("export-teacher-")
    answers_file = "answers-onnx-int8-dev.parquet"
    assert {path.name for path in exported.iterdir()} == {
        *FILES,
        answers_file,
        "export.json",
        "manifest.json",
    }
    answers = read_answers(exported, int8_answers("dev"))
    texts = [line.split("\t") for line in dev_lines(exported)]
    np.testing.assert_array_equal(
        answers.logits_RC, Model(exported, INT8).logits([text for text, _ in texts])
    )
    assert answers.labels_R.tolist() == [("down", "up").index(label) for _, label in texts]
    result = read_export(exported)
    assert (result.model, result.kind, result.max_length, result.refused) == ("teacher", "classes", 16, "")
    assert result.bytes == {name: (exported / name).stat().st_size for name in FILES}
    assert result.has_int8
    assert (result.parity_texts, result.num_dev) == (24, 24)
    assert 0 < result.largest_difference < 1e-4
    float32 = Model(exported, FLOAT32).logits([text for text, _ in texts]).argmax(axis=1)
    assert len(set(float32.tolist())) == 2
    assert result.share_changed == np.mean(float32 != answers.predictions_R)
    accuracy = np.mean(answers.predictions_R == answers.labels_R)
    assert result.int8_scores["dev/accuracy"] == pytest.approx(accuracy)


def dev_lines(exported: Path) -> list[str]:
    path = exported.parents[2] / "data_raw" / "Tiny" / "dev.tsv"
    return path.read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture
def without_exporter(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exports take the published files, in place of those that the exporter would write again."""

    def copy(_folder: Path, out: Path, _bundle: object, _inputs: object) -> None:
        for name in FILES - {INT8}:
            shutil.copy(exported / name, out)

    monkeypatch.setattr(export, "export_bundle", copy)


@pytest.mark.usefixtures("without_exporter")
def test_int8_that_changes_too_many_answers_is_kept_back_with_the_reason(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "share_changed", lambda *_: 0.0301)
    folder = workspace.export(max_changed=0.03)
    assert {path.name for path in folder.iterdir()} == FILES - {INT8} | {"export.json", "manifest.json"}
    result = read_export(folder)
    assert not result.has_int8
    assert (result.share_changed, result.int8_scores) == (0.0301, {})
    assert "it changes 3.0% of the answers on dev, and at most 3.0% is allowed" in result.refused
    assert INT8 not in result.bytes


@pytest.mark.usefixtures("without_exporter")
def test_an_export_with_other_logits_than_torchs_is_not_published(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_source, "load_classifier", lambda _: random_classifier(2).eval())
    with pytest.raises(ModelError, match=r"needs torch's logits within [0-9.]+, and differs by"):
        workspace.export(max_changed=0.04)


def stage_of(settings: dict[str, object], task: str = "RTE", model: Stage | None = None) -> Stage:
    teacher = model or dag()[f"{task}/teacher"] if task == "RTE" else dag(tasks=[task])[f"{task}/teacher"]
    return export_stage(GLUE_TASKS[task], build_settings(settings), teacher, HASHES)


def test_an_address_depends_on_the_model_the_texts_and_what_the_export_reads() -> None:
    stage = stage_of({})
    assert (stage.key, stage.inputs) == ("RTE/export-teacher", {"model": "RTE/teacher"})
    assert stage.sources == {f"raw/{split}": digest for split, digest in HASHES.items()}
    same = stage_of({"student.num_epochs": 9})
    others = [
        stage_of({"export.max_changed": 0.05}),
        stage_of({"tokens.max_length": 64}),
        stage_of({}, model=dag({"teacher.num_epochs": 9})["RTE/teacher"]),
        stage_of({"compute.threads": 1}),
    ]
    assert same.fingerprint == stage.fingerprint
    assert len({stage.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_what_a_bundle_cannot_do_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"set tokens\.truncation=second-text-longer"):
        stage_of({"tokens.truncation": "first-text-longer"})
    one_text = stage_of({"tokens.truncation": "first-text-longer"}, task="CoLA")
    assert one_text.name == "export-teacher"
    choices: Task = replace(GLUE_TASKS["RTE"], num_choices=4)
    with pytest.raises(PkdError, match="RTE is of multiple choice, which is not exported"):
        export_stage(choices, build_settings({}), dag()["RTE/teacher"], HASHES)
