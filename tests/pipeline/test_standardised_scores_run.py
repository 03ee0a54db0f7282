"""A run of a task of large scores: models of standardised scores are published in the user's."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import QUICK_SETTINGS, WORDS, write_tiny_model
from transformers import pipeline

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.examples import read_split
from pkd_core.data.glue import load_task
from pkd_core.evaluation.answers import read_answers
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan

MARKS_FILE = """\
texts = ["sentence"]
label = "mark"
label_range = [0.0, 1000.0]
metrics = ["pearson"]
"""


@pytest.mark.slow
def test_models_answer_with_the_users_scores(tmp_path: Path) -> None:
    rng = random.Random(1)
    folder = tmp_path / "data_raw" / "Marks"
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(MARKS_FILE, encoding="utf-8")
    for split, count in (("train", 48), ("dev", 16), ("unlabelled", 8)):
        texts = [rng.choices(WORDS, k=4) for _ in range(count)]
        lines = [f"{' '.join(text)}\t{700 + 100 * text.count('good')}" for text in texts]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tmark", *lines]) + "\n", encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_tiny_model(tmp_path / "model")
    settings = QUICK_SETTINGS | {
        "teacher.standardize_scores": True,
        "student.standardize_scores": True,
    }
    config = build_run_config(
        tasks=["Marks"], methods=["kd"], seeds=[1], model=str(tmp_path / "model"), settings=settings
    )
    records = run_plan(make_plan(config, tmp_path, device="cpu"), RunOptions(device="cpu"))
    task = load_task("Marks", tmp_path / "data_raw")
    texts = [one.texts[0] for one in read_split(folder / "dev.tsv", task, task.split("dev"))]
    for name in ("teacher", "kd-2l-s1"):
        answers = read_answers(tmp_path / records[f"Marks/evaluation-{name}"].path, "dev")
        assert np.abs(answers.predictions_R - 730).max() < 150, "a model of plain scores answers near 0"
        predict = pipeline("text-classification", str(tmp_path / records[f"Marks/{name}"].path))
        found = [one["score"] for one in predict(texts)]
        assert found == pytest.approx(answers.predictions_R.tolist(), rel=1e-4)
