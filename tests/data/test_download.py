"""Downloads write GLUE's files from the hub's tables; nothing is lost or overwritten."""

import logging
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from command import run_pkd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from pkd_core.data.download import Load, download_task
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

# Among them quotes, and line separators that do not end a line of a TSV file.
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
                    column: [texts[(n + 2 * position + number) % len(texts)] for n in rows]
                    for position, column in enumerate(columns)
                },
                "label": [-1] * len(rows) if split.startswith("test") else labels,
                "idx": list(rows),
            },
            features=features,
        )
    return DatasetDict(splits)


def hub(texts: list[str]) -> Load:
    """Return a replacement of the hub that has these texts."""

    def load(name: str, config: str) -> DatasetDict:
        assert name == "nyu-mll/glue"
        return hub_dataset(config, texts)

    return load


def hub_split(config: str, split: str) -> tuple[str, str]:
    """Return the hub's configuration and split of a split of ours."""
    if split == "ax":
        return "ax", "test"
    kind, _, mismatched = split.partition("-")
    base = "validation" if kind == "dev" else kind
    matching = config == "mnli" and kind != "train"
    return config, base + ("_" + (mismatched or "matched") if matching else "")


@pytest.mark.parametrize("name", GLUE_TASKS)
def test_downloaded_files_hold_the_hub_s_texts_labels_and_ids(tmp_path: Path, name: str) -> None:
    task, data_raw = GLUE_TASKS[name], tmp_path / "data_raw"
    paths = download_task(name, data_raw, hub(TEXTS))
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


def test_headers_equal_those_of_glue_s_own_files(tmp_path: Path) -> None:
    for name in dict.fromkeys(file.partition("/")[0] for file in HEADERS):
        download_task(name, tmp_path, hub(TEXTS))
    for file, header in HEADERS.items():
        assert (tmp_path / file).read_text(encoding="utf-8").split("\n")[0].split("\t") == header.split(" ")


def test_downloaded_lines_equal_those_of_glue_s_own_files(tmp_path: Path) -> None:
    download_task("RTE", tmp_path, hub(["a", "b", 'c "']))
    lines = ["index\tsentence1\tsentence2\tlabel", '0\ta\tc "\tentailment', "1\tb\ta\tnot_entailment"]
    assert (tmp_path / "RTE/train.tsv").read_bytes().startswith("\n".join(lines).encode() + b"\n")
    download_task("CoLA", tmp_path, hub(["a", "b", "c"]))
    assert (tmp_path / "CoLA/train.tsv").read_bytes().startswith(b"\t0\t\ta\n\t1\t\tb\n")
    download_task("STS-B", tmp_path, hub(["a", "b", "c"]))
    assert b"\ta\tc\t0.0\n" in (tmp_path / "STS-B/train.tsv").read_bytes()
    assert b"\t0.455\n" in (tmp_path / "STS-B/train.tsv").read_bytes()


def test_a_tab_or_line_end_in_a_text_becomes_a_space_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="pkd_core"):
        download_task("RTE", tmp_path, hub(["a\tb", "c\r\nd", "e\0", "fine"]))
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
    path = tmp_path / "data_raw" / existing
    path.parent.mkdir(parents=True)
    path.write_text("existing", encoding="utf-8")
    with pytest.raises(DataError, match=f"{existing}: expected no file there, got one; move it away"):
        download_task(name, tmp_path / "data_raw", hub(TEXTS))
    assert [file for file in (tmp_path / "data_raw").rglob("*") if file.is_file()] == [path]
    assert path.read_text(encoding="utf-8") == "existing"


def broken_tables(tables: DatasetDict, fault: str) -> DatasetDict:
    if fault == "split":
        return DatasetDict({name: table for name, table in tables.items() if name != "validation"})
    if fault == "column":
        return tables.remove_columns("sentence2")
    if fault == "classes":
        return tables.cast_column("label", ClassLabel(names=["yes", "no"]))
    rows = tables["validation"].to_dict()
    rows["label"][-1] = -1
    tables["validation"] = Dataset.from_dict(rows, features=tables["validation"].features)
    return tables


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("split", "rte: expected a validation split with the column 'idx', got none"),
        ("column", "rte: expected a train split with the column 'sentence2', got none"),
        ("classes", "expected RTE's labels entailment, not_entailment, got yes, no"),
        ("label", "expected a label of RTE from 0 to 1, got -1"),
    ],
)
def test_an_unexpected_table_leaves_no_file(tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        download_task("RTE", tmp_path, lambda name, config: broken_tables(hub_dataset(config, TEXTS), fault))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_path_that_cannot_be_written_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "RTE").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"RTE/train.tsv: expected a path that can be written, got 'File exists'"
    ):
        download_task("RTE", tmp_path, hub(TEXTS))


def test_a_custom_task_cannot_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one of GLUE's tasks \(CoLA, .*\) or RACE, got 'Mine'"):
        download_task("Mine", tmp_path)


def test_an_offline_download_says_how_to_get_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests run with HF_HUB_OFFLINE=1; an empty cache makes sure that nothing is loaded from the user's own.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DataError) as caught:
        download_task("RTE", tmp_path / "data_raw")
    assert str(caught.value) == (
        "nyu-mll/glue rte: expected an answer from the Hugging Face hub, got ConnectionError;"
        " connect to the network without HF_HUB_OFFLINE, or put the data's own files into data_raw"
    )
    assert not (tmp_path / "data_raw").exists()


def test_pkd_fetch_reports_an_unreachable_hub_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert run_pkd("fetch", "RTE", "--workspace", str(tmp_path)) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "expected an answer from the Hugging Face hub, got URLError" in errors
    assert not (tmp_path / "data_raw").exists()


def test_pkd_fetch_writes_the_files_and_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "load_dataset", hub(TEXTS))
    assert run_pkd("fetch", "RTE", "WNLI", "--workspace", str(tmp_path)) == 0
    files = [
        f"{tmp_path}/data_raw/{task}/{split}.tsv"
        for task in ("RTE", "WNLI")
        for split in ("train", "dev", "test")
    ]
    assert capsys.readouterr().out.splitlines() == [f"wrote {file}" for file in files]
    assert all(Path(file).is_file() for file in files)
