"""A run of a task whose files are Parquet and whose test split has labels: it is scored, and selects nothing."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import QUICK_SETTINGS, TASK_FILE, write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.glue import load_task
from pkd_core.data.tsv import read_examples
from pkd_core.evaluation.answers import read_answers
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan

LABELS = tuple(tomllib.loads(TASK_FILE)["labels"])


def write_parquet_task(data_raw: Path) -> None:
    """Turn the files of the tiny task into Parquet, with a part of its training rows as the test split."""
    write_tiny_task(data_raw, num_train=28, num_dev=8)
    task, folder = load_task("Tiny", data_raw), data_raw / "Tiny"
    rows = {
        name: [
            (one.texts[0], LABELS[int(one.label or 0)])
            for one in read_examples(folder / f"{name}.tsv", task, task.split(name))
        ]
        for name in ("train", "dev")
    }
    rows["test"] = rows["train"][17:]
    rows["train"] = rows["train"][:17]
    for name, of_split in rows.items():
        texts, labels = zip(*of_split, strict=True)
        pq.write_table(pa.table({"sentence": texts, "label": labels}), folder / f"{name}.parquet")
    unlabelled = [rows["test"][0][0], rows["dev"][0][0], "the song was very good", "a very poor book"]
    pq.write_table(pa.table({"sentence": unlabelled}), folder / "unlabelled.parquet")
    text = TASK_FILE.replace('index = "index"', 'format = "parquet"\nlabelled_test = true')
    (folder / "task.toml").write_text(text, encoding="utf-8")
    for path in folder.glob("*.tsv"):
        path.unlink()


def test_a_labelled_test_split_is_scored_and_selects_nothing(tmp_path: Path) -> None:
    write_parquet_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    run = build_run_config(
        tasks=["Tiny"],
        methods=["finetune", "kd"],
        seeds=[1],
        model=str(tmp_path / "model"),
        settings=QUICK_SETTINGS,
    )
    records = run_plan(make_plan(run, tmp_path), RunOptions(device="cpu"))
    evaluation = tmp_path / records["Tiny/evaluation-kd-2l-s1"].path
    result = read_result(evaluation)
    assert list(result.scores) == ["dev/accuracy", "dev/f1", "test/accuracy", "test/f1"]
    assert (result.selection, result.num_dev) == ("dev/accuracy", 8)
    answers = read_answers(evaluation, "test")
    assert result.scores["test/accuracy"] == (answers.labels_R == answers.predictions_R).mean()
    assert len(answers.labels_R) == 11
    assert not (evaluation / "submission").exists()
    # Texts of dev and of test are left out of what the student learns from.
    assert records["Tiny/transfer-set"].facts["num_unlabelled"] == 2
    report = tmp_path / records["reports/report"].path
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert [group["selection"] for group in content["groups"]] == ["dev/accuracy"] * 3
    finetuned = read_result(tmp_path / records["Tiny/evaluation-finetune-2l-s1"].path)
    (pair,) = content["differences"]
    difference = finetuned.scores["test/accuracy"] - result.scores["test/accuracy"]
    assert pair["result"]["difference"] == pytest.approx(difference)
    assert (pair["split"], pair["num_examples"]) == ("test", 11)
    assert [group["final"] for group in content["groups"]] == ["test/accuracy"] * 3
    assert content["groups"][2]["score"] == result.scores["test/accuracy"]
    most_frequent = max(np.bincount(answers.labels_R)) / 11
    assert {row["baseline"] for row in content["rows"]} == {most_frequent}
    assert most_frequent != result.baseline, "dev has another"
    page = (report / "report.md").read_text(encoding="utf-8")
    assert "accuracy (dev)" in page
    assert "- Tiny: scores are × 100, on the test split, at the epoch that scored best on dev." in page
    assert "Test splits carry no labels" not in page
