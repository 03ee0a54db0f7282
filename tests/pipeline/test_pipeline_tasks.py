"""Whole runs of the tasks that differ from two classes and one dev set: a score, and MNLI with all its splits."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import QUICK_SETTINGS, WORDS, write_tiny_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
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
    plan = make_plan(config, root, device="cpu")
    return run_plan(plan, RunOptions(device="cpu"))


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=4))


def evaluation(root: Path, record: StageRecord) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads((root / record.path / "evaluation.json").read_text(encoding="utf-8"))
    return payload


def test_a_regression_task_runs_through_every_method(tmp_path: Path) -> None:
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
        result = evaluation(tmp_path, record)
        assert result["selection"] == "dev/pearson"
        assert set(result["scores"]) == {"dev/pearson", "dev/spearman"}
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
        for row in range(30 if split != "dev_mismatched" else 20):
            label = (
                MNLI_LABELS[row % 3] if split != "dev_mismatched" else MNLI_LABELS[(row > 10) + (row > 16)]
            )
            rows.append([row, *["x"] * 7, sentence(rng), sentence(rng), *[label] * len(middle), label])
        write_table(folder / f"{split}.tsv", [*columns, *middle, "gold_label"], rows)
    for split, start in (("test_matched", 0), ("test_mismatched", 100)):
        rows = [[start + row, *["x"] * 7, sentence(rng), sentence(rng)] for row in range(7)]
        write_table(folder / f"{split}.tsv", columns, rows)
    rows = [[row, sentence(rng), sentence(rng)] for row in range(4)]
    write_table(tmp_path / "data_raw" / "AX" / "AX.tsv", ["index", "sentence1", "sentence2"], rows)
    return tmp_path


def predictions(model: Path, path: Path) -> dict[int, str]:
    """Return what transformers alone predicts for the two sentences of each line, by index."""
    header, *lines = (line.split("\t") for line in path.read_text().splitlines())
    first, second = header.index("sentence1"), header.index("sentence2")
    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    found = {}
    for fields in lines:
        encoded = tokenizer(
            fields[first],
            fields[second],
            truncation=True,
            max_length=QUICK_SETTINGS["tokens.max_length"],
            return_tensors="pt",
        )
        with torch.inference_mode():
            found[int(fields[0])] = MNLI_LABELS[int(classifier(**encoded).logits.argmax())]
    return found


def gold(path: Path) -> dict[int, str]:
    _, *lines = (line.split("\t") for line in path.read_text().splitlines())
    return {int(fields[0]): fields[-1] for fields in lines}


def test_each_dev_set_of_mnli_is_scored_on_its_own_labels(mnli: Path) -> None:
    records = run(mnli, "MNLI", methods=["pkd-skip"])
    scores = evaluation(mnli, records["MNLI/evaluation-pkd-skip-2l-s1"])["scores"]
    student = mnli / records["MNLI/pkd-skip-2l-s1"].path
    expected = {}
    for split, name in (("dev", "dev_matched"), ("dev-mismatched", "dev_mismatched")):
        path = mnli / "data_raw" / "MNLI" / f"{name}.tsv"
        labels = gold(path)
        right = [labels[index] == label for index, label in predictions(student, path).items()]
        expected[f"{split}/accuracy"] = sum(right) / len(right)
    assert scores == pytest.approx(expected)
    # The labels' frequencies differ, so that even a constant answer scores differently on the two.
    assert scores["dev/accuracy"] != scores["dev-mismatched/accuracy"]


def test_each_test_file_of_mnli_has_its_own_submission(mnli: Path) -> None:
    records = run(mnli, "MNLI", methods=["pkd-skip"])
    folder = mnli / records["MNLI/evaluation-pkd-skip-2l-s1"].path / "submission"
    student = mnli / records["MNLI/pkd-skip-2l-s1"].path
    files = {"AX.tsv": "AX/AX", "MNLI-m.tsv": "MNLI/test_matched", "MNLI-mm.tsv": "MNLI/test_mismatched"}
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    for name, source in files.items():
        header, *lines = (folder / name).read_text().splitlines()
        assert header == "index\tprediction"
        submitted = {int(index): label for index, label in (line.split("\t") for line in lines)}
        assert submitted == predictions(student, mnli / "data_raw" / f"{source}.tsv")
