"""GLUE's tasks match its files and server; the task.toml of a custom task is read or rejected."""

from pathlib import Path

import pytest

from pkd_core.data.glue import GLUE_TASKS, Split
from pkd_core.data.task import text_columns
from pkd_core.data.tsv import Example, read_examples
from pkd_core.errors import DataError

# First lines of the files as GLUE distributes them, one labelled line each.
PARSES = "( a )\t( b )\t(ROOT a)\t(ROOT b)"
MNLI_PARSES = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
STSB_COLUMNS = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
DISTRIBUTED = {
    ("CoLA", "train"): ("gj04\t0\t*\ta", ("a",), 0),
    ("CoLA", "test"): ("index\tsentence\n0\ta", ("a",), None),
    ("SST-2", "dev"): ("sentence\tlabel\na \t1", ("a ",), 1),
    ("SST-2", "test"): ("index\tsentence\n0\ta", ("a",), None),
    ("MRPC", "train"): ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb", ("a", "b"), 1),
    ("MRPC", "test"): ("index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\ta\tb", ("a", "b"), None),
    ("STS-B", "train"): (
        f"{STSB_COLUMNS}\tscore\n0\tmain-news\tf\t2012\t4\tnone\tnone\ta\tb\t2.5",
        ("a", "b"),
        2.5,
    ),
    ("STS-B", "test"): (f"{STSB_COLUMNS}\n0\tmain-news\tf\t2012\t4\tnone\tnone\ta\tb", ("a", "b"), None),
    ("QQP", "dev"): ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n9\t1\t2\ta\tb\t1", ("a", "b"), 1),
    ("QQP", "test"): ("id\tquestion1\tquestion2\n0\ta\tb", ("a", "b"), None),
    ("MNLI", "train"): (
        f"index\tpromptID\tpairID\tgenre\t{MNLI_PARSES}\tsentence1\tsentence2\tlabel1\tgold_label\n"
        f"0\t1\t1n\tfiction\t{PARSES}\ta\tb\tneutral\tneutral",
        ("a", "b"),
        2,
    ),
    ("MNLI", "dev-mismatched"): (
        f"index\tpromptID\tpairID\tgenre\t{MNLI_PARSES}\tsentence1\tsentence2"
        "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
        f"0\t1\t1n\tfiction\t{PARSES}\ta\tb\tneutral\tneutral\tneutral\tneutral\tneutral\tentailment",
        ("a", "b"),
        1,
    ),
    ("MNLI", "test-mismatched"): (
        f"index\tpromptID\tpairID\tgenre\t{MNLI_PARSES}\tsentence1\tsentence2\n0\t1\t1n\tfiction\t{PARSES}\ta\tb",
        ("a", "b"),
        None,
    ),
    ("MNLI", "ax"): ("index\tsentence1\tsentence2\n0\ta\tb", ("a", "b"), None),
    ("QNLI", "train"): ("index\tquestion\tsentence\tlabel\n0\ta\tb\tnot_entailment", ("a", "b"), 1),
    ("RTE", "dev"): ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment", ("a", "b"), 0),
    ("WNLI", "test"): ("index\tsentence1\tsentence2\n0\ta\tb", ("a", "b"), None),
}

# GLUE's files, their columns and the server's file names, written out by hand from the descriptions of the tasks.
SPLITS = {
    # task: (split, file, columns of texts, column of labels, column of example ids, submission file)
    "CoLA": [
        ("train", "CoLA/train.tsv", (3,), 1, None, None),
        ("dev", "CoLA/dev.tsv", (3,), 1, None, None),
        ("test", "CoLA/test.tsv", ("sentence",), None, "index", "CoLA.tsv"),
    ],
    "SST-2": [
        ("train", "SST-2/train.tsv", ("sentence",), "label", None, None),
        ("dev", "SST-2/dev.tsv", ("sentence",), "label", None, None),
        ("test", "SST-2/test.tsv", ("sentence",), None, "index", "SST-2.tsv"),
    ],
    "MRPC": [
        ("train", "MRPC/train.tsv", ("#1 String", "#2 String"), "Quality", None, None),
        ("dev", "MRPC/dev.tsv", ("#1 String", "#2 String"), "Quality", None, None),
        ("test", "MRPC/test.tsv", ("#1 String", "#2 String"), None, "index", "MRPC.tsv"),
    ],
    "STS-B": [
        ("train", "STS-B/train.tsv", ("sentence1", "sentence2"), "score", None, None),
        ("dev", "STS-B/dev.tsv", ("sentence1", "sentence2"), "score", None, None),
        ("test", "STS-B/test.tsv", ("sentence1", "sentence2"), None, "index", "STS-B.tsv"),
    ],
    "QQP": [
        ("train", "QQP/train.tsv", ("question1", "question2"), "is_duplicate", None, None),
        ("dev", "QQP/dev.tsv", ("question1", "question2"), "is_duplicate", None, None),
        ("test", "QQP/test.tsv", ("question1", "question2"), None, "id", "QQP.tsv"),
    ],
    "MNLI": [
        ("train", "MNLI/train.tsv", ("sentence1", "sentence2"), "gold_label", None, None),
        ("dev", "MNLI/dev_matched.tsv", ("sentence1", "sentence2"), "gold_label", None, None),
        ("dev-mismatched", "MNLI/dev_mismatched.tsv", ("sentence1", "sentence2"), "gold_label", None, None),
        ("test", "MNLI/test_matched.tsv", ("sentence1", "sentence2"), None, "index", "MNLI-m.tsv"),
        ("test-mismatched", "MNLI/test_mismatched.tsv", ("sentence1", "sentence2"), None, "index", "MNLI-mm.tsv"),
        ("ax", "AX/AX.tsv", ("sentence1", "sentence2"), None, "index", "AX.tsv"),
    ],
    "QNLI": [
        ("train", "QNLI/train.tsv", ("question", "sentence"), "label", None, None),
        ("dev", "QNLI/dev.tsv", ("question", "sentence"), "label", None, None),
        ("test", "QNLI/test.tsv", ("question", "sentence"), None, "index", "QNLI.tsv"),
    ],
    "RTE": [
        ("train", "RTE/train.tsv", ("sentence1", "sentence2"), "label", None, None),
        ("dev", "RTE/dev.tsv", ("sentence1", "sentence2"), "label", None, None),
        ("test", "RTE/test.tsv", ("sentence1", "sentence2"), None, "index", "RTE.tsv"),
    ],
    "WNLI": [
        ("train", "WNLI/train.tsv", ("sentence1", "sentence2"), "label", None, None),
        ("dev", "WNLI/dev.tsv", ("sentence1", "sentence2"), "label", None, None),
        ("test", "WNLI/test.tsv", ("sentence1", "sentence2"), None, "index", "WNLI.tsv"),
    ],
}  # fmt: skip
# task: (labels in the order of the outputs, metrics with the selecting one first, range of scores, outputs)
LABELS_AND_METRICS = {
    "CoLA": (("0", "1"), ("matthews", "accuracy"), None, 2),
    "SST-2": (("0", "1"), ("accuracy",), None, 2),
    "MRPC": (("0", "1"), ("accuracy", "f1"), None, 2),
    "STS-B": ((), ("pearson", "spearman"), (0.0, 5.0), 1),
    "QQP": (("0", "1"), ("accuracy", "f1"), None, 2),
    "MNLI": (("contradiction", "entailment", "neutral"), ("accuracy",), None, 3),
    "QNLI": (("entailment", "not_entailment"), ("accuracy",), None, 2),
    "RTE": (("entailment", "not_entailment"), ("accuracy",), None, 2),
    "WNLI": (("0", "1"), ("accuracy",), None, 2),
}


@pytest.mark.parametrize(("task_name", "split_name"), DISTRIBUTED)
def test_a_file_as_glue_distributes_it_is_read(tmp_path: Path, task_name: str, split_name: str) -> None:
    content, texts, label = DISTRIBUTED[task_name, split_name]
    task = GLUE_TASKS[task_name]
    path = tmp_path / "file.tsv"
    path.write_text(content + "\n", encoding="utf-8")
    assert list(read_examples(path, task, task.split(split_name))) == [Example(0, texts, label)]


def test_the_tasks_are_glue_s_nine() -> None:
    assert list(GLUE_TASKS) == list(SPLITS) == list(LABELS_AND_METRICS)
    assert all(task.name == name for name, task in GLUE_TASKS.items())


@pytest.mark.parametrize("name", SPLITS)
def test_files_columns_and_submissions_are_those_of_glue(name: str) -> None:
    task = GLUE_TASKS[name]
    assert [(s.name, s.file, s.texts, s.label, s.index, s.submission) for s in task.splits] == SPLITS[name]
    labelled = [split for split in task.splits if split.label is not None]
    assert [split for split in task.splits if split.required] == labelled
    assert [split for split in task.splits if not split.header] == (labelled if name == "CoLA" else [])
    assert (task.train_split, *task.dev_splits) == tuple(labelled)
    assert task.test_splits == task.splits[len(labelled) :]


@pytest.mark.parametrize("name", LABELS_AND_METRICS)
def test_labels_metrics_and_range_are_those_of_glue(name: str) -> None:
    task = GLUE_TASKS[name]
    assert (task.labels, task.metrics, task.label_range, task.num_outputs) == LABELS_AND_METRICS[name]
    assert task.is_regression == (name == "STS-B")
    assert task.max_bad_lines == (64 if name == "QQP" else 0)


def test_an_unknown_split_is_an_error_that_lists_the_splits() -> None:
    with pytest.raises(DataError, match=r"RTE: expected one of its splits \(train, dev, test\), got 'ax'"):
        GLUE_TASKS["RTE"].split("ax")


def test_the_columns_of_texts_are_named_as_the_first_file_with_a_header_names_them() -> None:
    assert {name: task.text_columns for name, task in GLUE_TASKS.items()} == {
        "CoLA": ("sentence",),
        "SST-2": ("sentence",),
        "MRPC": ("#1 String", "#2 String"),
        "STS-B": ("sentence1", "sentence2"),
        "QQP": ("question1", "question2"),
        "MNLI": ("sentence1", "sentence2"),
        "QNLI": ("question", "sentence"),
        "RTE": ("sentence1", "sentence2"),
        "WNLI": ("sentence1", "sentence2"),
    }
    unnamed = Split("train", "x/train.tsv", (0, 1), 2, header=False)
    assert text_columns([unnamed]) == ("text_a", "text_b")
