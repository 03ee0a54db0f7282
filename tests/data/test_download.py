"""The hub's tables become GLUE's files: nothing is lost or overwritten, and a silent hub is told in one sentence."""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_from_disk

from pkd_core.data.download import fetch
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.tsv import read_examples
from pkd_core.errors import DataError

# The hub's text columns and class names by configuration.
HUB = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "stsb": (("sentence1", "sentence2"), ()),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "ax": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ("entailment", "not_entailment")),
    "rte": (("sentence1", "sentence2"), ("entailment", "not_entailment")),
    "wnli": (("sentence1", "sentence2"), ("not_entailment", "entailment")),
}
CONFIGS = dict(
    zip(GLUE_TASKS, ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"), strict=True)
)
HUB_SPLITS = {
    "mnli": ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched"),
    "ax": ("test",),
}
DEFAULT_SPLITS = ("train", "validation", "test")

# What texts may hold, quotes and line separators that are no ends of a TSV's line among them.
TEXTS = ['He said " no', "café\u2028x\x85y", " spaced  ", "", "plain", "it's 100 %"]


def hub_dataset(config: str, texts: list[str]) -> DatasetDict:
    columns, classes = HUB[config]
    label_type = ClassLabel(names=list(classes)) if classes else Value("float32")
    features = Features(
        {**dict.fromkeys(columns, Value("string")), "label": label_type, "idx": Value("int32")}
    )
    splits = {}
    for number, split in enumerate(HUB_SPLITS.get(config, DEFAULT_SPLITS)):
        rows = range(2 * len(texts))
        labels = [n % len(classes) for n in rows] if classes else [round(n * 5 / 11, 3) for n in rows]
        splits[split] = Dataset.from_dict(
            {
                **{
                    column: [texts[(n + 2 * place + number) % len(texts)] for n in rows]
                    for place, column in enumerate(columns)
                },
                "label": [-1] * len(rows) if split.startswith("test") else labels,
                "idx": list(rows),
            },
            features=features,
        )
    return DatasetDict(splits)


class Hub:
    """Stands where the hub does: data sets saved to and loaded from disk."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        self.folder, self.texts = folder, texts

    def __call__(self, name: str, config: str) -> Mapping[str, Any]:
        assert name == "nyu-mll/glue"
        hub_dataset(config, self.texts).save_to_disk(self.folder / config)
        loaded = load_from_disk(self.folder / config)
        assert isinstance(loaded, DatasetDict)
        return loaded


def hub_split(config: str, split: str) -> tuple[str, str]:
    """Return the hub's configuration and split of one of our splits."""
    if split == "ax":
        return "ax", "test"
    kind, _, mismatched = split.partition("-")
    base = "validation" if kind == "dev" else kind
    matching = config == "mnli" and kind != "train"
    return config, base + ("_" + (mismatched or "matched") if matching else "")


@pytest.mark.parametrize("name", GLUE_TASKS)
def test_what_the_hub_has_is_read_back_from_the_files(tmp_path: Path, name: str) -> None:
    task, data_raw = GLUE_TASKS[name], tmp_path / "data_raw"
    paths = fetch(name, data_raw, Hub(tmp_path, TEXTS))
    assert sorted(paths) == sorted(data_raw / split.file for split in task.splits)
    assert sorted(path for path in data_raw.rglob("*") if path.is_file()) == sorted(paths)
    for split in task.splits:
        config, hub_name = hub_split(CONFIGS[name], split.name)
        table = hub_dataset(config, TEXTS)[hub_name]
        columns, classes = HUB[config]
        examples = list(read_examples(data_raw / split.file, task, split))
        assert [e.texts for e in examples] == list(zip(*(table[column] for column in columns), strict=True))
        assert [e.example_id for e in examples] == list(table["idx"])
        if split.label is None:
            assert {e.label for e in examples} == {None}
        elif not classes:
            assert [np.float32(e.label) for e in examples] == [np.float32(score) for score in table["label"]]
        elif task.labels == ("0", "1"):
            assert [e.label for e in examples] == list(table["label"])
        else:
            assert [task.labels[int(e.label or 0)] for e in examples] == [classes[n] for n in table["label"]]


HEADERS = {
    "SST-2/train.tsv": "sentence label",
    "SST-2/test.tsv": "index sentence",
    "STS-B/dev.tsv": "index genre filename year old_index source1 source2 sentence1 sentence2 score",
    "QQP/train.tsv": "id qid1 qid2 question1 question2 is_duplicate",
    "QQP/test.tsv": "id question1 question2",
    "QNLI/test.tsv": "index question sentence",
    "WNLI/dev.tsv": "index sentence1 sentence2 label",
    "CoLA/test.tsv": "index sentence",
    "MNLI/train.tsv": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse"
    " sentence2_parse sentence1 sentence2 label1 gold_label",
    "MNLI/dev_mismatched.tsv": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
    " sentence1_parse sentence2_parse sentence1 sentence2 label1 label2 label3 label4 label5 gold_label",
    "MNLI/test_matched.tsv": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
    " sentence1_parse sentence2_parse sentence1 sentence2",
}


def test_headers_are_those_of_glue_s_own_files(tmp_path: Path) -> None:
    for name in dict.fromkeys(file.partition("/")[0] for file in HEADERS):
        fetch(name, tmp_path, Hub(tmp_path, TEXTS))
    for file, header in HEADERS.items():
        assert (tmp_path / file).read_text(encoding="utf-8").split("\n")[0].split("\t") == header.split(" ")


def test_files_as_glue_ships_them_come_out_of_the_hub_s_tables(tmp_path: Path) -> None:
    fetch("RTE", tmp_path, Hub(tmp_path, ["a", "b", 'c "']))
    lines = ["index\tsentence1\tsentence2\tlabel", '0\ta\tc "\tentailment', "1\tb\ta\tnot_entailment"]
    assert (tmp_path / "RTE/train.tsv").read_bytes().startswith("\n".join(lines).encode() + b"\n")
    fetch("CoLA", tmp_path, Hub(tmp_path, ["a", "b", "c"]))
    assert (tmp_path / "CoLA/train.tsv").read_bytes().startswith(b"\t0\t\ta\n\t1\t\tb\n")
    fetch("STS-B", tmp_path, Hub(tmp_path, ["a", "b", "c"]))
    assert b"\ta\tc\t0.0\n" in (tmp_path / "STS-B/train.tsv").read_bytes()
    assert b"\t0.455\n" in (tmp_path / "STS-B/train.tsv").read_bytes()


def test_a_tab_or_line_end_in_a_text_becomes_a_space_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="pkd_core"):
        fetch("RTE", tmp_path, Hub(tmp_path, ["a\tb", "c\r\nd", "e\0", "fine"]))
    task = GLUE_TASKS["RTE"]
    examples = read_examples(tmp_path / "RTE/train.tsv", task, task.train_split)
    assert {text for example in examples for text in example.texts} == {"a b", "c  d", "e ", "fine"}
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/RTE/{split}.tsv: in 12 texts a tab or line end became a space"
        for split in ("train", "dev", "test")
    ]


@pytest.mark.parametrize(
    ("name", "existing"),
    [("RTE", "RTE/test.tsv"), ("MNLI", "AX/AX.tsv"), ("MNLI", "MNLI/dev_mismatched.tsv")],
)
def test_an_existing_file_is_never_overwritten_and_nothing_is_written(
    tmp_path: Path, name: str, existing: str
) -> None:
    mine = tmp_path / "data_raw" / existing
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=f"{existing}: expected no file there, got one; move it away"):
        fetch(name, tmp_path / "data_raw", Hub(tmp_path, TEXTS))
    assert [path for path in (tmp_path / "data_raw").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text(encoding="utf-8") == "mine"


def broken_hub(hub: DatasetDict, fault: str) -> DatasetDict:
    if fault == "split":
        return DatasetDict({name: table for name, table in hub.items() if name != "validation"})
    if fault == "column":
        return hub.remove_columns("sentence2")
    if fault == "classes":
        return hub.cast_column("label", ClassLabel(names=["yes", "no"]))
    rows = hub["validation"].to_dict()
    rows["label"][-1] = -1
    hub["validation"] = Dataset.from_dict(rows, features=hub["validation"].features)
    return hub


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("split", "rte: expected 'validation' in its validation split, got no such thing"),
        ("column", "rte: expected 'sentence2' in its train split, got no such thing"),
        ("classes", "expected RTE's labels entailment, not_entailment, got yes, no"),
        ("label", "expected a label of RTE from 0 to 1, got -1"),
    ],
)
def test_a_table_that_is_not_as_expected_leaves_no_file(tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fetch("RTE", tmp_path, lambda name, config: broken_hub(hub_dataset(config, TEXTS), fault))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_place_that_cannot_be_written_to_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "RTE").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(DataError, match=r"RTE/train.tsv: expected a place to write to, got"):
        fetch("RTE", tmp_path, Hub(tmp_path, TEXTS))


def test_an_own_task_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one of GLUE's tasks \(CoLA, .*\), got 'Mine'"):
        fetch("Mine", tmp_path)


def test_without_a_hub_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pkd_core.data.download import fetch\n"
        "from pkd_core.errors import *\n"
        "try: fetch('RTE', Path(sys.argv[1]))\n"
        "except DataError as error: sys.stdout.write(str(error))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data_raw")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == (
        "nyu-mll/glue rte: expected an answer from the Hugging Face hub, got ConnectionError;"
        " connect to the network without HF_HUB_OFFLINE, or put GLUE's own TSV files into data_raw"
    )
    assert not (tmp_path / "data_raw").exists()


def test_a_hub_that_nobody_reaches_is_said_at_once(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache")}
    command = [str(Path(sys.executable).with_name("pkd")), "fetch", "RTE", "--workspace", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expected an answer from the Hugging Face hub" in done.stderr
    assert not (tmp_path / "data_raw").exists()
