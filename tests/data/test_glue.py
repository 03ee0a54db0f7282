"""The table of tasks agrees with GLUE's files and server; a user's own task.toml is read or refused."""

from pathlib import Path

import pytest

from pkd_core.data.glue import GLUE_TASKS, Task, load_task
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

OWN = 'texts = ["left", "right"]\nlabel = "same"\nlabels = ["no", "yes"]\nmetrics = ["f1", "accuracy"]\n'


@pytest.mark.parametrize(("task_name", "split_name"), DISTRIBUTED)
def test_a_file_as_glue_distributes_it_is_read(tmp_path: Path, task_name: str, split_name: str) -> None:
    content, texts, label = DISTRIBUTED[task_name, split_name]
    task = GLUE_TASKS[task_name]
    path = tmp_path / "file.tsv"
    path.write_text(content + "\n", encoding="utf-8")
    assert list(read_examples(path, task, task.split(split_name))) == [Example(0, texts, label)]


def test_every_submission_file_that_the_server_wants_is_named_once() -> None:
    submissions = [split.submission for task in GLUE_TASKS.values() for split in task.test_splits]
    singles = [f"{name}.tsv" for name in GLUE_TASKS if name != "MNLI"]
    assert sorted(map(str, submissions)) == sorted([*singles, "MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"])


def test_mnli_is_scored_on_both_dev_sets_and_selected_on_the_matched_one() -> None:
    mnli = GLUE_TASKS["MNLI"]
    assert [split.name for split in mnli.dev_splits] == ["dev", "dev-mismatched"]
    assert [split.name for split in mnli.test_splits] == ["test", "test-mismatched", "ax"]


def test_train_and_dev_are_required_and_test_is_not() -> None:
    for task in GLUE_TASKS.values():
        assert all(split.required == (split.label is not None) for split in task.splits)


def test_sts_b_is_the_one_regression() -> None:
    assert [task.name for task in GLUE_TASKS.values() if task.is_regression] == ["STS-B"]
    assert GLUE_TASKS["STS-B"].num_outputs == 1
    assert GLUE_TASKS["MNLI"].num_outputs == 3


def test_an_unknown_split_is_told_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"RTE: expected one of its splits \(train, dev, test\), got 'ax'"):
        GLUE_TASKS["RTE"].split("ax")


def own_task(data_raw: Path, text: str) -> Task:
    (data_raw / "Mine").mkdir(parents=True, exist_ok=True)
    (data_raw / "Mine/task.toml").write_text(text, encoding="utf-8")
    return load_task("Mine", data_raw)


def test_an_own_task_is_read_as_described(tmp_path: Path) -> None:
    task = own_task(tmp_path, OWN + 'index = "id"\n')
    assert (task.labels, task.metrics, task.label_range) == (("no", "yes"), ("f1", "accuracy"), None)
    assert [split.file for split in task.splits] == [f"Mine/{name}.tsv" for name in ("train", "dev", "test")]
    assert task.train_split.texts == ("left", "right")
    assert task.train_split.index is None
    assert task.split("test").index == "id"


def test_an_own_score_task_is_read_as_described(tmp_path: Path) -> None:
    task = own_task(tmp_path, 'texts = ["a"]\nlabel = "y"\nlabel_range = [-1, 1.5]\nmetrics = ["spearman"]\n')
    assert task.is_regression
    assert task.label_range == (-1.0, 1.5)


def test_an_own_task_with_a_glue_name_stays_glue_s(tmp_path: Path) -> None:
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE/task.toml").write_text(OWN, encoding="utf-8")
    assert load_task("RTE", tmp_path) is GLUE_TASKS["RTE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("texts = [", "expected a TOML file, got one that cannot be read"),
        ("\xff".encode("latin-1").decode("latin-1") + "=", "expected a TOML file"),
        (OWN + "lables = 1\n", "expected the keys .*, got 'lables'"),
        ("", "expected `texts` to be a list of one or two different texts, got None"),
        (OWN.replace('["left", "right"]', '"left"'), "expected `texts` to be a list"),
        (OWN.replace('"right"', '"left"'), "expected `texts` to be a list of one or two different"),
        (OWN.replace('"right"', "3"), "expected `texts` to be a list"),
        (OWN.replace('"same"', '"a\\tb"'), "expected `label` to be a column's name"),
        (OWN.replace('"same"', "1"), "expected `label` to be a column's name, got 1"),
        (OWN.replace('["no", "yes"]', '["no"]'), "expected `labels` to be a list of two or more"),
        (OWN + "label_range = [0, 1]\n", "expected either `labels` or `label_range`, got both"),
        (OWN.replace("labels =", "# labels ="), "expected either `labels` or `label_range`, got neither"),
        (
            OWN.replace('["f1", "accuracy"]', "[]"),
            "expected `metrics` to be a list out of accuracy, f1, matthews",
        ),
        (OWN.replace('"f1"', '"pearson"'), "expected `metrics` to be a list out of accuracy, f1, matthews"),
        (OWN.replace('"yes"]', '"yes", "x"]'), "expected `metrics` to be a list out of accuracy, matthews"),
        (OWN.replace('labels = ["no", "yes"]', "label_range = [1, 1]"), "expected `label_range`"),
        (OWN.replace('labels = ["no", "yes"]', "label_range = [0, nan]"), "expected `label_range`"),
        (OWN.replace('labels = ["no", "yes"]', "label_range = [0, true]"), "expected `label_range`"),
        (OWN.replace('labels = ["no", "yes"]', "label_range = [0, 1]"), "a list out of pearson, spearman"),
        (OWN + "index = 3\n", "expected `index` to be a column's name"),
    ],
)
def test_a_bad_description_is_refused_with_its_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        own_task(tmp_path, text)
    assert str(tmp_path / "Mine/task.toml") in str(caught.value)


def test_an_unknown_task_is_told_with_near_names(tmp_path: Path) -> None:
    own_task(tmp_path, OWN)
    with pytest.raises(DataError, match=r"got 'mnli'; choose a near one \(MNLI, "):
        load_task("mnli", tmp_path)
    with pytest.raises(DataError, match=r"got 'mine'; choose a near one \(Mine"):
        load_task("mine", tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "../RTE", "RTE/", "/etc", ".work", "a b", "RTE\n", "a\\b"])
def test_a_task_name_that_is_no_plain_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="expected a task's name"):
        load_task(name, tmp_path)
