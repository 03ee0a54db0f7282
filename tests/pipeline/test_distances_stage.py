"""The distances of a run's students, compared with what transformers computes from the published models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task
from transformers import AutoModel, AutoTokenizer

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.evaluation.distances_result import read_distances
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.report_stages import report_stage
from pkd_core.pipeline.specs import ReportSpec
from pkd_core.pipeline.stages.report import write_run_report
from pkd_core.runtime.observer import LogObserver
from pkd_core.store.finished_files import FinishedFiles

Finished = tuple[Plan, dict[str, Path]]
MAX_LENGTH = QUICK_SETTINGS["tokens.max_length"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run from two seeds, and its stages' folders; students start from every second layer of the teacher."""
    root = tmp_path_factory.mktemp("distances")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    settings = QUICK_SETTINGS | {"student.init": "teacher-skip", "student.learning_rate": 1e-3}
    run = build_run_config(
        tasks=["Tiny"], methods=["pkd-last"], seeds=[1, 2], model=str(root / "model"), settings=settings
    )
    plan = make_plan(run, root, device="cpu")
    records = run_plan(plan, RunOptions(device="cpu"))
    return plan, {key.removeprefix("Tiny/"): root / record.path for key, record in records.items()}


def unit_states(folder: Path, texts: list[str]) -> np.ndarray:
    """Return the unit-length [CLS] states of every layer, shape (R, N, D)."""
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    states = []
    for text in texts:
        encoded = tokenizer(text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**encoded, output_hidden_states=True).hidden_states
        states.append([layer[0, 0].numpy() for layer in hidden[1:]])
    array = np.array(states, dtype=np.float64)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def test_distances_before_and_after_are_those_of_the_published_models(finished: Finished) -> None:
    plan, folders = finished
    lines = (plan.workspace / "data_raw" / "Tiny" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines]
    teacher, student = (unit_states(folders[name], texts) for name in ("teacher", "pkd-last-2l-s1"))
    distances = read_distances(folders["distances-pkd-last-2l-s1"])
    assert distances.num_examples == 48
    assert [(*layer.layers, layer.is_matched) for layer in distances.layers] == [
        (1, 2, False), (1, 3, True), (2, 4, False)
    ]  # fmt: skip
    for layer in distances.layers:
        difference = student[:, layer.student_layer - 1] - teacher[:, layer.teacher_layer - 1]
        assert layer.after == pytest.approx((difference**2).sum(-1).mean(), abs=1e-4)
    initial = AutoModel.from_pretrained(folders["teacher"])
    initial.encoder.layer = torch.nn.ModuleList(initial.encoder.layer[number] for number in (1, 3))
    initial.config.num_hidden_layers = 2
    untrained = plan.workspace / "untrained"
    initial.save_pretrained(untrained)
    AutoTokenizer.from_pretrained(folders["teacher"]).save_pretrained(untrained)
    before = unit_states(untrained, texts)
    for layer in distances.layers:
        difference = before[:, layer.student_layer - 1] - teacher[:, layer.teacher_layer - 1]
        assert layer.before == pytest.approx((difference**2).sum(-1).mean(), abs=1e-4)
        assert layer.before != pytest.approx(layer.after, abs=1e-3)


def test_the_report_has_their_means_over_seeds(finished: Finished) -> None:
    _, folders = finished
    report = json.loads((folders["reports/report"] / "report.json").read_text(encoding="utf-8"))
    (shown,) = report["distances"]
    seeds = [read_distances(folders[f"distances-pkd-last-2l-s{seed}"]).layers for seed in (1, 2)]
    assert shown["num_seeds"] == 2
    for one, first, second in zip(shown["layers"], *seeds, strict=True):
        assert one["before"] == first.before == second.before
        assert first.after != second.after
        assert one["after"] == pytest.approx((first.after + second.after) / 2)


def test_a_report_without_them_is_written_too(finished: Finished, tmp_path: Path) -> None:
    plan, folders = finished
    stages = [one.stage for one in plan.stages if not one.stage.name.startswith("distances-")][:-1]
    stage = report_stage(plan.run, stages, {"Tiny/distances-pkd-last-2l-s1": "it broke"}, plan.models)
    inputs = {key: folders[key.removeprefix("Tiny/")] for key in stage.inputs}
    context = plan.context(RunOptions())
    finished_files = FinishedFiles(tmp_path, tmp_path)
    job = Job(stage, tmp_path, tmp_path, inputs, {}, context, LogObserver("r"), lambda: None, finished_files)
    assert isinstance(stage.spec, ReportSpec)
    write_run_report(job, stage.spec)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["distances"] == []
    assert "layer by layer" not in (tmp_path / "report.html").read_text(encoding="utf-8")
