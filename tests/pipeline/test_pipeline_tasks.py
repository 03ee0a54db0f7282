"""Whole runs of the tasks that differ from two classes and one dev set: a score, and MNLI with all its splits."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tiny import QUICK_SETTINGS, WORDS, write_tiny_model

from pkd_core.config.overrides import build_run_config
from pkd_core.pipeline.job import Context
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
from pkd_core.store.address import StageRecord

SETTINGS = QUICK_SETTINGS | {"tokens.max_length": 24}
_STS_B_UNREAD = ("genre", "filename", "year", "old_index", "source1", "source2")
_MNLI_UNREAD = (
    "promptID",
    "pairID",
    "genre",
    "sentence1_binary_parse",
    "sentence2_binary_parse",
    "sentence1_parse",
    "sentence2_parse",
)
MNLI_LABELS = ("contradiction", "entailment", "neutral")


def run(root: Path, task: str, **values: Any) -> dict[str, StageRecord]:
    write_tiny_model(root / "model")
    config = build_run_config(tasks=[task], seeds=[1], model=str(root / "model"), settings=SETTINGS, **values)
    plan = make_plan(config, root)
    return run_plan(plan, Context(root, plan.model.folder, "cpu"))


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=4))


def evaluation(root: Path, record: StageRecord) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((root / record.path / "evaluation.json").read_text(encoding="utf-8"))
    return told


def test_a_task_of_scores_goes_through_every_method(tmp_path: Path) -> None:
    rng = random.Random(1)
    for split, count in (("train", 32), ("dev", 16)):
        rows = [
            [row, *["x"] * 6, sentence(rng), sentence(rng), round(rng.uniform(0, 5), 3)]
            for row in range(count)
        ]
        header = [
            "index",
            "genre",
            "filename",
            "year",
            "old_index",
            "source1",
            "source2",
            "sentence1",
            "sentence2",
            "score",
        ]
        write_table(tmp_path / "data_raw" / "STS-B" / f"{split}.tsv", header, rows)
    rows = [[row, *["x"] * 6, sentence(rng), sentence(rng)] for row in range(5)]
    write_table(tmp_path / "data_raw" / "STS-B" / "test.tsv", header[:-1], rows)
    records = run(tmp_path, "STS-B")
    for name in ("teacher", "finetune-2l-s1", "kd-2l-s1", "pkd-skip-2l-s1", "pkd-last-2l-s1"):
        record = records[f"STS-B/evaluation-{name}"]
        told = evaluation(tmp_path, record)
        assert told["selection"] == "dev/pearson"
        assert set(told["scores"]) == {"dev/pearson", "dev/spearman"}
        predictions = (tmp_path / record.path / "submission" / "STS-B.tsv").read_text().split()[3::2]
        assert all(0 <= float(prediction) <= 5 for prediction in predictions)


@pytest.fixture
def mnli(tmp_path: Path) -> Path:
    rng = random.Random(2)
    folder = tmp_path / "data_raw" / "MNLI"
    columns = [
        "index",
        "promptID",
        "pairID",
        "genre",
        "sentence1_binary_parse",
        "sentence2_binary_parse",
        "sentence1_parse",
    ]
    columns += ["sentence2_parse", "sentence1", "sentence2"]
    middles = {"train": ["label1"], "dev_matched": [f"label{n}" for n in range(1, 6)]}
    middles["dev_mismatched"] = middles["dev_matched"]
    for split, middle in middles.items():
        rows = []
        for row in range(30):
            label = MNLI_LABELS[row % 3]
            rows.append([row, *["x"] * 7, sentence(rng), sentence(rng), *[label] * len(middle), label])
        write_table(folder / f"{split}.tsv", [*columns, *middle, "gold_label"], rows)
    for split in ("test_matched", "test_mismatched"):
        rows = [[row, *["x"] * 7, sentence(rng), sentence(rng)] for row in range(7)]
        write_table(folder / f"{split}.tsv", columns, rows)
    rows = [[row, sentence(rng), sentence(rng)] for row in range(4)]
    write_table(tmp_path / "data_raw" / "AX" / "AX.tsv", ["index", "sentence1", "sentence2"], rows)
    return tmp_path


def test_mnli_is_scored_on_both_dev_sets_and_predicts_ax(mnli: Path) -> None:
    record = run(mnli, "MNLI", methods=["pkd-skip"])["MNLI/evaluation-pkd-skip-2l-s1"]
    assert set(evaluation(mnli, record)["scores"]) == {"dev/accuracy", "dev-mismatched/accuracy"}
    folder = mnli / record.path / "submission"
    assert sorted(path.name for path in folder.iterdir()) == ["AX.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"]
    for name, count in (("AX.tsv", 4), ("MNLI-m.tsv", 7)):
        header, *lines = (folder / name).read_text().splitlines()
        assert header == "index\tprediction"
        assert len(lines) == count
        assert {line.split("\t")[1] for line in lines} <= set(MNLI_LABELS)
