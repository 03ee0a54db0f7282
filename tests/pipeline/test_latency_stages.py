"""The stages that time models: what is exported and timed, on which texts, and what addresses depend on."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_model, write_tiny_task
from tiny_bert import Recorder

from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.config.overrides import build_run_config, build_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import DEFAULT_MODEL, RunConfig
from pkd_core.errors import ConfigError
from pkd_core.export.bundle import Bundle
from pkd_core.export.onnx_files import BERT_INPUTS
from pkd_core.latency.candidates import read_candidates
from pkd_core.latency.measure import Example, Variant
from pkd_core.latency.predictors import FORMATS
from pkd_core.latency.result import Format, LatencyResult, LatencyRow, read_latency
from pkd_core.model.loading import build_classifier, save_classifier
from pkd_core.pipeline.job import Job, RunContext
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec, LatencySpec
from pkd_core.pipeline.latency_stages import candidates_stage, latency_stage
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.models import find_models
from pkd_core.pipeline.plan import RunInputs, find_inputs, plan_stages
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.stages import latency
from pkd_core.pipeline.stages.latency import time_models
from pkd_core.runtime.device import machine_of
from pkd_core.store.address import StageRecord
from pkd_core.store.finished_files import FinishedFiles

SETTINGS = {"tokens.max_length": 16, "latency.num_calls": 50, "latency.max_seconds": 9}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("latency")
    torch.manual_seed(0)
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model", num_layers=3)
    write_tiny_model(root / "other", num_layers=2)
    return root


def run_of(workspace: Path, student_model: str | None = None) -> RunConfig:
    student = str(workspace / student_model) if student_model else None
    return build_run_config(tasks=["Tiny"], model=str(workspace / "model"), student_model=student)


def inputs_of(workspace: Path, student_model: str | None = None) -> RunInputs:
    return find_inputs(run_of(workspace, student_model), workspace, "cpu")


def candidates_of(
    inputs: RunInputs, depths: Sequence[int] = (), format: Format = "onnx-int8", **settings: Any
) -> Stage:
    values = build_settings(SETTINGS | settings)
    return candidates_stage(
        inputs.tasks["Tiny"], inputs.raw_hashes["Tiny"], inputs.models, values, depths, format
    )


def spec_of(stage: Stage) -> LatencyCandidatesSpec:
    assert isinstance(stage.spec, LatencyCandidatesSpec)
    return stage.spec


def test_the_depths_to_time_are_those_that_make_a_smaller_model(workspace: Path) -> None:
    of_teacher = spec_of(candidates_of(inputs_of(workspace)))
    assert (of_teacher.depths, of_teacher.num_teacher_layers) == ((1, 2), 3)
    of_other = spec_of(candidates_of(inputs_of(workspace, "other")))
    assert (of_other.depths, of_other.num_teacher_layers) == ((1, 2), None)
    assert own_teacher_depths(workspace, None) == ((1, 2), 3)
    assert own_teacher_depths(workspace, "other") == ((1, 2), None)
    asked = spec_of(candidates_of(inputs_of(workspace), depths=(2, 1, 2)))
    assert asked.depths == (1, 2)
    assert (asked.num_outputs, asked.max_length, asked.format) == (2, 16, "onnx-int8")
    assert asked.machine == machine_of("cpu")
    assert asked.split.file == "Tiny/dev.tsv"


def own_teacher_depths(workspace: Path, student_model: str | None) -> tuple[tuple[int, ...], int | None]:
    """Return the depths to time with a teacher that the user has fine-tuned, and its own if it is timed."""
    folder, inputs = workspace / "own", inputs_of(workspace)
    shutil.copytree(workspace / "model", folder, dirs_exist_ok=True)
    save_classifier(build_classifier(folder, inputs.tasks["Tiny"], seed=0), folder)
    student = str(workspace / student_model) if student_model else None
    models = find_models(DEFAULT_MODEL, student, [str(folder)])
    spec = spec_of(candidates_of(replace(inputs, models=models)))
    return spec.depths, spec.num_teacher_layers


def test_times_are_addressed_by_machine_model_texts_and_way_of_measuring(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = inputs_of(workspace)
    here = candidates_of(inputs)
    assert candidates_of(inputs, **{"student.num_epochs": 9}).fingerprint == here.fingerprint
    longer = candidates_of(inputs, **{"tokens.max_length": 32})
    called_more = candidates_of(inputs, **{"latency.num_calls": 60})
    other = candidates_of(inputs_of(workspace, "other"))
    monkeypatch.setattr("pkd_core.pipeline.latency_stages.machine_of", lambda _: "another machine")
    elsewhere = candidates_of(inputs)
    addresses = [stage.fingerprint for stage in (here, longer, called_more, other, elsewhere)]
    assert len(set(addresses)) == 5


@dataclass
class FakeExport:
    """Takes the place of the exporter, which takes seconds, and keeps what it was given."""

    exported: list[tuple[int, int, bool]] = field(default_factory=list)

    def export_bundle(self, folder: Path, out: Path, bundle: Bundle, inputs: tuple[str, ...]) -> None:
        config = json.loads((folder / "config.json").read_text())
        has_tokenizer = (folder / "tokenizer.json").is_file()
        self.exported.append((config["num_hidden_layers"], len(config["id2label"]), has_tokenizer))
        assert (bundle.max_length, inputs) == (16, BERT_INPUTS)
        for name in ("model.onnx", "bundle.json", "tokenizer.json"):
            (out / name).write_text(name)

    def export_shallower(self, bundle: Path, out: Path, num_layers: int) -> None:
        assert (bundle / "model.onnx").is_file()
        assert (out / "bundle.json").read_text() == "bundle.json"
        assert (out / "tokenizer.json").read_text() == "tokenizer.json"
        (out / "model.onnx").write_text(str(num_layers))

    def quantize(self, out: Path) -> None:
        assert (out / "model.onnx").is_file()
        (out / "model.int8.onnx").write_text((out / "model.onnx").read_text())

    def bundle_variants(self, name: str, bundle: Path, threads: int) -> list[Variant]:
        (path,) = bundle.glob("*.onnx")
        return [Variant(name, FORMATS[path.name], lambda _: int(path.read_text()), threads)]


def measure(
    variants: Sequence[Variant],
    examples: Sequence[Example],
    settings: LatencyConfig,
    machine: str,
    observe: Callable[[int, int], None],
) -> LatencyResult:
    """Return what `FakeExport.bundle_variants` answers, a number of layers, as milliseconds."""
    assert torch.get_num_threads() == settings.threads == 1
    assert settings == LatencyConfig(num_calls=50, max_seconds=9)
    assert len(examples) == 24, "dev"
    observe(3, 9)
    rows = tuple(
        LatencyRow(one.model, one.format, 1.0, float(str(one.predict([]))), 1.0, 2.0, 9.0, 50, 2, 100)
        for one in variants
    )
    return LatencyResult(rows, machine, 1, 32, 1.5)


@pytest.mark.parametrize(
    ("student_model", "format", "depths", "teacher"),
    [
        (None, "onnx-int8", [1, 3], 3.0),
        (None, "onnx-float32", [1, 3], 3.0),
        ("other", "onnx-int8", [1], None),
    ],
)
def test_candidates_are_exported_untrained_and_timed_together(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    student_model: str | None,
    format: Format,
    depths: list[int],
    teacher: float | None,
) -> None:
    fake, observer = FakeExport(), Recorder()
    for name in ("export_bundle", "export_shallower", "quantize", "bundle_variants"):
        monkeypatch.setattr(latency, name, getattr(fake, name))
    monkeypatch.setattr(latency, "measure_latency", measure)
    record = build_candidates(workspace, student_model, observer, depths=(1,), format=format)
    assert fake.exported == [(max(depths), 2, True)]
    found = read_candidates(workspace / record.path)
    assert found.student(1).p99_ms == 1.0
    assert (found.teacher.p99_ms if found.teacher else None) == teacher
    assert {row.format for row in found.latency.rows} == {format}
    assert record.facts == {"p99_ms": {"1": 1.0}, "teacher_p99_ms": teacher, "busy": True}
    files = sorted(path.name for path in (workspace / record.path).iterdir())
    assert files == ["candidates.json", "manifest.json"], "the exported models are gone"
    exported = [seen for seen in observer.progress_seen if seen[2] == "students exported"]
    assert exported == [(done, len(depths), "students exported") for done in range(len(depths) + 1)]
    assert observer.progress_seen[-1] == (3, 9, "seconds at most")


@pytest.mark.slow
def test_deeper_candidates_take_longer(workspace: Path) -> None:
    record = build_candidates(workspace, None, Recorder())
    found = read_candidates(workspace / record.path)
    times = [found.student(depth).p50_ms for depth in (1, 2)]
    assert found.teacher is not None
    assert 0 < times[0] < found.teacher.p50_ms
    assert times[1] > 0
    assert found.student(1).num_calls == 50


def build_candidates(
    workspace: Path, student_model: str | None, observer: Recorder, **changes: Any
) -> StageRecord:
    inputs = inputs_of(workspace, student_model)
    stage = candidates_of(inputs, **changes)
    plan = plan_stages(run_of(workspace, student_model), workspace, inputs, [stage])
    (record,) = build_stages(plan, RunOptions(device="cpu"), lambda *_: nullcontext(observer)).values()
    return record


def job_of(workspace: Path, inputs: RunInputs, stage: Stage, work: Path, folders: dict[str, Path]) -> Job:
    models = find_models(str(workspace / "model"), None)
    context = RunContext(workspace, models.teacher, inputs.tasks, RunOptions(device="cpu"))
    return Job(stage, work, work, folders, {}, context, Recorder(), lambda: None, FinishedFiles(work, work))


def test_trained_models_are_timed_in_torch_and_in_the_formats_of_their_exports(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = inputs_of(workspace)
    teacher, student = candidates_of(inputs), replace(candidates_of(inputs), name="kd-1l-s1")
    exports = [replace(stage, name=f"export-{stage.name}") for stage in (teacher, student)]
    stage = latency_stage(
        inputs.tasks["Tiny"],
        inputs.raw_hashes["Tiny"],
        build_settings(SETTINGS),
        list(zip((teacher, student), exports, strict=True)),
    )
    names = (teacher.name, "kd-1l-s1")
    folders: dict[str, Path] = {}
    for depth, name in zip((3, 1), names, strict=True):
        for part, parent in (("model", tmp_path / "models"), ("export", tmp_path / "exports")):
            folders[f"{part}/{name}"] = parent / str(depth)
            folders[f"{part}/{name}"].mkdir(parents=True)
        folder = folders[f"export/{name}"]
        (folder / "bundle.json").write_text(json.dumps({"max_length": 10 + depth, "inputs": ["input_ids"]}))
        (folder / "model.onnx").write_text(str(depth))
    assert set(stage.inputs) == folders.keys()
    assert stage.inputs["export/kd-1l-s1"] == "Tiny/export-kd-1l-s1"

    def torch_variant(name: str, folder: Path, max_length: int, inputs: list[str]) -> Variant:
        assert inputs == ["input_ids"]
        assert folder == folders[f"model/{name}"]
        return Variant(name, "torch-float32", lambda _: max_length, 1)

    monkeypatch.setattr(latency, "torch_variant", torch_variant)
    monkeypatch.setattr(latency, "bundle_variants", FakeExport().bundle_variants)
    monkeypatch.setattr(latency, "measure_latency", measure)
    assert isinstance(stage.spec, LatencySpec)
    facts = time_models(job_of(workspace, inputs, stage, tmp_path, folders), stage.spec)
    assert [(row.model, row.format, row.p99_ms) for row in read_latency(tmp_path).rows] == [
        (names[0], "torch-float32", 13.0),
        (names[0], "onnx-float32", 3.0),
        (names[1], "torch-float32", 11.0),
        (names[1], "onnx-float32", 1.0),
    ]
    assert facts.p99_ms["kd-1l-s1 onnx-float32"] == 1.0
    assert facts.busy


def test_another_machine_than_the_planned_one_is_refused(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = inputs_of(workspace)
    monkeypatch.setattr("pkd_core.pipeline.latency_stages.machine_of", lambda _: "another machine")
    stage = latency_stage(inputs.tasks["Tiny"], inputs.raw_hashes["Tiny"], build_settings(SETTINGS), [])
    assert isinstance(stage.spec, LatencySpec)
    with pytest.raises(ConfigError, match="was planned for another machine, and this machine has "):
        time_models(job_of(workspace, inputs, stage, tmp_path, {}), stage.spec)
