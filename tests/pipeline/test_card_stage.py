"""The stage that reports a compression: what it reads, what it publishes, and what its address depends on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config, build_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.evaluation.answers import write_answers
from pkd_core.evaluation.result import EvaluationResult, write_result
from pkd_core.export.result import ExportResult, int8_answers, write_export
from pkd_core.latency.result import LatencyResult, LatencyRow, write_latency
from pkd_core.pipeline.card_specs import CardSpec
from pkd_core.pipeline.card_stages import CompressedStages, card_stage
from pkd_core.pipeline.export_stages import export_stage
from pkd_core.pipeline.latency_stages import latency_stage
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import find_inputs, make_plan, plan_stages
from pkd_core.pipeline.stage import Stage
from pkd_core.report.compression.write import read_verdict
from pkd_core.store.address import StageRecord
from pkd_core.store.stage_store import StageStore

SETTINGS = {"tokens.max_length": 16, "compute.threads": 1}
NUM_DEV = 24
REFUSED = "int8 is not published: it changes 8.3% of the answers on dev, and at most 2.0% is allowed."
# Wrong answers of 24, in float32 and in int8.
TEACHER, TEACHER_INT8, KD, KD_INT8, FINETUNED = 2, 3, 4, 6, 12


class Workspace:
    """A workspace with tokens, and made-up evaluations, exports and times of models that were never trained."""

    def __init__(self, root: Path, refused: str = "", init: str = "teacher-skip") -> None:
        self.root, self.refused, self.init = root, refused, init
        write_tiny_task(root / "data_raw")
        with torch.random.fork_rng(devices=[]):
            write_tiny_model(root / "model", num_layers=4)
        self.run = build_run_config(
            tasks=["Tiny"],
            methods=["kd", "finetune"],
            seeds=[1],
            model=str(root / "model"),
            settings=SETTINGS,
        )
        self.inputs = find_inputs(self.run, root, "cpu")
        self.task = self.inputs.tasks["Tiny"]
        self.hashes = self.inputs.raw_hashes["Tiny"]
        self.stages = {one.stage.name: one.stage for one in make_plan(self.run, root, device="cpu").stages}
        tokens = plan_stages(self.run, root, self.inputs, [self.stages["tokens"]])
        self.records = dict(build_stages(tokens, RunOptions(device="cpu")))
        lines = (root / "data_raw" / "Tiny" / "dev.tsv").read_text().splitlines()[1:]
        self.labels = np.array([("down", "up").index(line.split("\t")[1]) for line in lines])
        self.exports = [self._exported("teacher", TEACHER_INT8), self._exported("kd-2l-s1", KD_INT8)]
        for name, num_wrong in (("teacher", TEACHER), ("kd-2l-s1", KD), ("finetune-2l-s1", FINETUNED)):
            self._evaluated(name, num_wrong)
        self.latency = self._timed()

    def _publish(self, stage: Stage, write: Callable[[Path], object]) -> None:
        store = StageStore(self.root)
        digests = dict.fromkeys(stage.inputs, "0" * 64)
        with store.writing(stage.address, digests) as work:
            write(work)
            record: StageRecord = store.publish(
                stage.address, code_version=1, config={}, inputs=digests, facts={}
            )
        self.records[stage.key] = record

    def _answer(self, folder: Path, split: str, num_wrong: int) -> None:
        given = np.where(np.arange(NUM_DEV) < num_wrong, 1 - self.labels, self.labels)
        write_answers(folder, split, np.arange(NUM_DEV), self.labels, 3.0 * np.eye(2)[given])

    def _evaluated(self, name: str, num_wrong: int) -> None:
        method, *rest = name.split("-")
        result = EvaluationResult(
            task="Tiny",
            method=method,
            num_layers=2 if rest else 4,
            seed=1 if rest else None,
            scores={"dev/accuracy": 1 - num_wrong / NUM_DEV, "dev/f1": 0.5},
            selection="dev/accuracy",
            baseline=0.5,
            num_dev=NUM_DEV,
            predicted_classes=2,
            parameters=500 if rest else 1000,
            size_bytes=2_000_000 if rest else 4_000_000,
            speed=None,
            best_epoch=1,
            precision="float32",
            settings={"student.learning_rate": 1e-4, "student.init": self.init},
            hidden_size=16,
            skipped_lines={},
        )

        def write(folder: Path) -> None:
            write_result(folder, result)
            self._answer(folder, "dev", num_wrong)

        self._publish(self.stages[f"evaluation-{name}"], write)

    def _exported(self, name: str, num_wrong: int) -> Stage:
        stage = export_stage(self.task, build_settings(SETTINGS), self.stages[name], self.hashes)
        sizes = {"model.onnx": 2_100_000, "model.int8.onnx": 600_000, "predict.py": 100}
        if self.refused:
            del sizes["model.int8.onnx"]

        def write(folder: Path) -> None:
            write_export(
                folder,
                ExportResult(
                    name,
                    "classes",
                    16,
                    sizes,
                    24,
                    1e-6,
                    24,
                    0.08,
                    0.02,
                    self.refused,
                    {},
                    "a CPU",
                    {"onnx": "1.23.2"},
                ),
            )
            if not self.refused:
                self._answer(folder, int8_answers("dev"), num_wrong)

        self._publish(stage, write)
        return stage

    def _timed(self) -> Stage:
        models = [(self.stages["teacher"], self.exports[0]), (self.stages["kd-2l-s1"], self.exports[1])]
        stage = latency_stage(self.task, self.hashes, build_settings(SETTINGS), models)
        rows = tuple(
            LatencyRow(name, form, p50, 2 * p50, p50, 2 * p50, 1000 / p50, 50, 2, 1)
            for name, form, p50 in (
                ("teacher", "torch-float32", 8.0),
                ("teacher", "onnx-int8", 3.0),
                ("kd-2l-s1", "torch-float32", 4.0),
                ("kd-2l-s1", "onnx-float32", 2.0),
                ("kd-2l-s1", "onnx-int8", 1.0),
            )
        )
        self._publish(stage, lambda folder: write_latency(folder, LatencyResult(rows, "a CPU", 1, 32, 1.5)))
        return stage

    def card(self, **changes: Any) -> Stage:
        evaluations = [
            self.stages[f"evaluation-{name}"] for name in ("teacher", "kd-2l-s1", "finetune-2l-s1")
        ]
        teacher, student, *others = evaluations
        stages = CompressedStages(self.stages["tokens"], teacher, student, others, self.exports, self.latency)
        names: Mapping[str, Any] = {"teacher_name": "tiny", "has_own_teacher": False, "student_base": "tiny"}
        return card_stage(self.task, self.hashes, stages, **{**names, **changes})

    def build(self, stage: Stage) -> StageRecord:
        plan = plan_stages(self.run, self.root, self.inputs, [stage], known=self.records)
        return build_stages(plan, RunOptions(device="cpu"), known=self.records)[stage.key]


@dataclass(frozen=True)
class Built:
    workspace: Workspace
    record: StageRecord

    @property
    def folder(self) -> Path:
        return self.workspace.root / self.record.path

    @property
    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads((self.folder / "compression.json").read_text(encoding="utf-8"))
        return values


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    workspace = Workspace(tmp_path_factory.mktemp("card"))
    return Built(workspace, workspace.build(workspace.card(budget_ms=2.5)))


def test_it_publishes_a_page_a_card_a_table_and_json(built: Built) -> None:
    files = {path.name for path in built.folder.iterdir()} - {"manifest.json"}
    assert files == {"README.md", "compression.html", "compression.json", "compression.txt"}
    facts = {"teacher_score": 1 - TEACHER / NUM_DEV, "score": 1 - KD_INT8 / NUM_DEV, "format": "onnx-int8"}
    assert built.record.facts == facts


def test_variants_have_scores_sizes_and_times_from_what_it_reads(built: Built) -> None:
    found = {
        (one["model"], one["format"]): (
            one["role"],
            round(NUM_DEV * (1 - one["score"])),
            one["size_bytes"],
            one["timing"] and one["timing"]["p50_ms"],
        )
        for one in built.values["variants"]
    }
    assert found == {
        ("teacher", "torch-float32"): ("teacher", TEACHER, 4_000_000, 8.0),
        ("teacher", "onnx-float32"): ("teacher", TEACHER, 2_100_000, None),
        ("teacher", "onnx-int8"): ("teacher", TEACHER_INT8, 600_000, 3.0),
        ("kd-2l-s1", "torch-float32"): ("student", KD, 2_000_000, 4.0),
        ("kd-2l-s1", "onnx-float32"): ("student", KD, 2_100_000, 2.0),
        ("kd-2l-s1", "onnx-int8"): ("student", KD_INT8, 600_000, 1.0),
        ("finetune-2l-s1", "torch-float32"): ("fine-tuned", FINETUNED, 2_000_000, 4.0),
    }


def test_the_rest_is_of_the_task_its_data_and_the_students_training(built: Built) -> None:
    values = built.values
    assert (values["split"], values["num_examples"], values["metric"]) == ("dev", NUM_DEV, "accuracy")
    assert values["baseline"] == pytest.approx(max(np.bincount(built.workspace.labels)) / NUM_DEV)
    assert values["data"]["rows"] == {"train": 48, "dev": 24, "test": 6}
    assert sum(values["data"]["label_counts"].values()) == 48
    assert values["data"]["max_length"] == 16
    assert values["machine"] == {"name": "a CPU", "threads": 1, "is_busy": True}
    assert values["training"]["settings"]["student.learning_rate"] == 1e-4
    assert values["training"]["student_base"] == "the teacher (teacher-skip)"
    assert values["versions"]["onnx"] == "1.23.2"
    assert values["budget_ms"] == 2.5


def test_disagreements_are_those_with_the_student_that_is_used_and_have_the_raw_texts(built: Built) -> None:
    texts = [
        line.split("\t")[0]
        for line in (built.workspace.root / "data_raw/Tiny/dev.tsv").read_text().splitlines()[1:]
    ]
    shown = [one["texts"] for one in built.values["disagreements"]]
    assert shown == [[texts[row]] for row in range(TEACHER, KD_INT8)]


def test_a_refused_int8_makes_the_float32_student_the_one_to_use(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, refused=REFUSED, init="pretrained-first")
    made = Built(workspace, workspace.build(workspace.card()))
    assert made.values["deployed"] == "onnx-float32"
    assert made.values["training"]["student_base"] == "tiny"
    assert made.record.facts["score"] == 1 - KD / NUM_DEV
    assert REFUSED in read_verdict(made.folder).objections


def test_its_address_depends_on_what_it_reads_and_what_was_asked_for(built: Built) -> None:
    workspace = built.workspace
    base = workspace.card()
    others = [
        workspace.card(budget_ms=9.0),
        workspace.card(deploy_format="torch-float32"),
        workspace.card(teacher_name="other"),
    ]
    assert len({stage.fingerprint for stage in (base, *others)}) == 4
    assert workspace.card().fingerprint == base.fingerprint
    assert isinstance(base.spec, CardSpec)
    assert base.spec.exports == {
        "Tiny/evaluation-teacher": "Tiny/export-teacher",
        "Tiny/evaluation-kd-2l-s1": "Tiny/export-kd-2l-s1",
    }
    assert base.address.folder.as_posix().startswith("artifacts/Tiny/card-")
