"""Labels that are missing from a task's files are reported before anything is computed."""

from pathlib import Path

import pytest

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Split, Task
from pkd_core.data.validation import check_examples, check_labels, check_unlabelled
from pkd_core.errors import DataError


def write_files(data_raw: Path, task: str, header: str, **lines: list[str]) -> None:
    (data_raw / task).mkdir()
    for split, rows in lines.items():
        (data_raw / task / f"{split}.tsv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("train", "dev", "message"),
    [
        (["a\t1", "a\t0"], ["b\t0", "b\t1"], None),
        (
            ["a\t1"],
            ["b\t0", "b\t1"],
            "train.tsv: expected examples of every label of SST-2, got none of 0; add",
        ),
        (
            ["a\t1", "a\t0"],
            ["b\t1", "b\t1"],
            "dev.tsv: expected at least two different labels, .*, got 1 alone; ",
        ),
        (["a\t1", "a\t0"], ["b\t2"], "dev.tsv:2: expected a label out of 0, 1, got '2'"),
    ],
)
def test_classes_are_checked_in_both_files(
    tmp_path: Path, train: list[str], dev: list[str], message: str | None
) -> None:
    write_files(tmp_path, "SST-2", "sentence\tlabel", train=train, dev=dev)
    if message is None:
        check_examples(GLUE_TASKS["SST-2"], tmp_path)
    else:
        with pytest.raises(DataError, match=message):
            check_examples(GLUE_TASKS["SST-2"], tmp_path)


def test_scores_need_two_different_values(tmp_path: Path) -> None:
    rows = ["a\tb\t2.5", "a\tb\t2.5"]
    write_files(tmp_path, "STS-B", "sentence1\tsentence2\tscore", train=rows, dev=rows)
    with pytest.raises(
        DataError, match=r"train.tsv: expected at least two different labels, .*, got 2.5 alone"
    ):
        check_examples(GLUE_TASKS["STS-B"], tmp_path)


def test_a_malformed_optional_file_is_reported_and_a_missing_one_is_not(tmp_path: Path) -> None:
    rows = ["a\t0", "b\t1"]
    write_files(tmp_path, "SST-2", "sentence\tlabel", train=rows, dev=rows)
    check_examples(GLUE_TASKS["SST-2"], tmp_path)
    (tmp_path / "SST-2/test.tsv").write_text("index\tsentence\n0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test.tsv:2: expected 2 fields, got 1"):
        check_examples(GLUE_TASKS["SST-2"], tmp_path)


def test_of_many_missing_labels_the_first_are_named_and_shortened() -> None:
    split = Split("train", "T/train.tsv", ("a",), "label")
    labels = ("a", *(f"label {number}" * 1000 for number in range(9000)))
    task = Task("T", (split,), labels, ("accuracy",))
    with pytest.raises(DataError, match=r"got none of label 0label .* and 8990 more; add") as caught:
        check_labels(Path("train.tsv"), task, split, [0])
    assert len(str(caught.value)) < 1000


def test_unlabelled_texts_are_read_to_their_last_line(tmp_path: Path) -> None:
    path = tmp_path / "SST-2" / "unlabelled.tsv"
    path.parent.mkdir()
    path.write_text("sentence\na\nb\n", encoding="utf-8")
    check_unlabelled(GLUE_TASKS["SST-2"], tmp_path)
    path.write_text("sentence\na\nb\tc\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"unlabelled\.tsv:3: expected 1 field, got 2"):
        check_unlabelled(GLUE_TASKS["SST-2"], tmp_path)
    path.write_text("sentence\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"unlabelled\.tsv:1: expected at least one example below, got none"):
        check_unlabelled(GLUE_TASKS["SST-2"], tmp_path)
