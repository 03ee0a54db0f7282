"""Splits that are Parquet files: what is read of them, what is refused, and how a task says that it has them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pkd_core.data.examples import read_split
from pkd_core.data.glue import Task, load_task
from pkd_core.data.parquet_split import count_rows
from pkd_core.data.tsv import Example
from pkd_core.data.validation import check_unlabelled
from pkd_core.errors import DataError

CLASSES = (
    'texts = ["text"]\nlabel = "y"\nlabels = ["no", "yes"]\nmetrics = ["accuracy"]\nformat = "parquet"\n'
)
SCORES = CLASSES.replace('labels = ["no", "yes"]', "label_range = [0, 5]").replace("accuracy", "pearson")
SEVERAL = CLASSES.replace('["accuracy"]', '["micro_f1"]\nmulti_label = true')


def task_of(data_raw: Path, text: str = CLASSES) -> Task:
    (data_raw / "Mine").mkdir(exist_ok=True)
    (data_raw / "Mine/task.toml").write_text(text, encoding="utf-8")
    return load_task("Mine", data_raw)


def write(data_raw: Path, split: str = "train", **columns: Any) -> None:
    pq.write_table(pa.table(columns), data_raw / "Mine" / f"{split}.parquet")


def read(data_raw: Path, task: Task, split: str = "train") -> list[Example]:
    return list(read_split(data_raw / task.split(split).file, task, task.split(split)))


def test_texts_are_read_as_they_are_and_labels_by_name(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    write(tmp_path, other=[1, 2], y=["yes", "no"], text=['a\tb\n"c"', ""])
    assert read(tmp_path, task) == [Example(0, ('a\tb\n"c"',), 1), Example(1, ("",), 0)]
    assert count_rows(tmp_path / "Mine/train.parquet") == 2


def test_scores_may_be_whole_numbers(tmp_path: Path) -> None:
    task = task_of(tmp_path, SCORES)
    write(tmp_path, text=["a", "b"], y=[5, 0])
    assert [example.label for example in read(tmp_path, task)] == [5.0, 0.0]


def test_several_labels_are_lists_of_names(tmp_path: Path) -> None:
    task = task_of(tmp_path, SEVERAL)
    write(tmp_path, text=["a", "b", "c"], y=[["yes", "no"], [], ["yes"]])
    assert [example.label for example in read(tmp_path, task)] == [(0, 1), (), (1,)]


def test_ids_number_the_rows_over_batches_and_row_groups(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    table = pa.table({"text": [f"text {row}" for row in range(9000)], "y": ["no"] * 9000})
    pq.write_table(table, tmp_path / "Mine/train.parquet", row_group_size=2500)
    examples = read(tmp_path, task)
    assert [example.example_id for example in examples] == list(range(9000))
    assert examples[8999].texts == ("text 8999",)


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            CLASSES,
            {"text": ["a"], "y": ["maybe"]},
            "row 1: expected a label out of no, yes, got 'maybe'; fix",
        ),
        (
            CLASSES,
            {"text": ["a", "b"], "y": ["no", None]},
            "row 2: expected a label out of no, yes, got None",
        ),
        (CLASSES, {"text": ["a"], "y": [1]}, "row 1: expected a label out of no, yes, got 1"),
        (CLASSES, {"text": ["a", None], "y": ["no", "no"]}, r"row 2: expected a text, got \[None\]; fix"),
        (CLASSES, {"text": [3], "y": ["no"]}, r"row 1: expected a text, got \[3\]"),
        (
            CLASSES,
            {"txt": ["a"], "y": ["no"]},
            "expected the column 'text' once for the train split, got the col",
        ),
        (
            CLASSES,
            {"text": pa.array([], pa.string()), "y": pa.array([], pa.string())},
            "at least one example",
        ),
        (
            SEVERAL,
            {"text": ["a"], "y": [["yes", "yes"]]},
            r"row 1: expected a list of different labels, got \['y",
        ),
        (SEVERAL, {"text": ["a"], "y": ["yes"]}, "row 1: expected a list of different labels, got 'yes'"),
        (SEVERAL, {"text": ["a"], "y": [["maybe"]]}, "row 1: expected a label out of no, yes, got 'maybe'"),
        (SCORES, {"text": ["a"], "y": [5.5]}, "row 1: expected a score from 0.0 to 5.0, got 5.5"),
        (SCORES, {"text": ["a"], "y": ["5"]}, "row 1: expected a score from 0.0 to 5.0, got '5'"),
    ],
)
def test_what_the_task_does_not_have_is_refused(
    tmp_path: Path, text: str, columns: dict[str, Any], message: str
) -> None:
    task = task_of(tmp_path, text)
    write(tmp_path, **columns)
    with pytest.raises(DataError, match=message):
        read(tmp_path, task)


def test_another_format_is_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    (tmp_path / "Mine/train.parquet").write_text("text,y\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"train\.parquet: expected a readable Parquet file, got Parquet "):
        read(tmp_path, task)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    write(tmp_path, text=["text"] * 1000, y=["no"] * 1000)
    path = tmp_path / "Mine/train.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.parquet: expected a readable Parquet file"):
        read(tmp_path, task)


def test_a_labelled_test_file_is_the_last_split_to_be_scored(tmp_path: Path) -> None:
    task = task_of(tmp_path, CLASSES + "labelled_test = true\n\n[imported]\nsource = 'abc'\n")
    assert [split.name for split in task.dev_splits] == ["dev", "test"]
    assert task.split("test").required
    assert task.test_splits == ()
    write(tmp_path, "unlabelled", text=["a"])
    assert task.unlabelled_split.file == "Mine/unlabelled.parquet"
    assert [
        one.label for one in read_split(tmp_path / "Mine/unlabelled.parquet", task, task.unlabelled_split)
    ] == [None]
    check_unlabelled(task, tmp_path)
    write(tmp_path, "unlabelled", text=pa.array([], pa.string()))
    with pytest.raises(DataError, match="expected at least one example, got none"):
        check_unlabelled(task, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('format = "csv"', "expected `format` to be 'tsv' or 'parquet', got 'csv'; fix that line"),
        ("labelled_test = 1", "expected `labelled_test` to be true or false, got 1"),
    ],
)
def test_unknown_formats_are_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        task_of(tmp_path, CLASSES.replace('format = "parquet"\n', "") + line + "\n")
