"""Examples of any number of labels: their files are read, checked, tokenised and loaded as 0 and 1 for each label."""

from pathlib import Path

import numpy as np
import pytest
from tiny import SEVERAL_LABELS_FILE

from pkd_core.data.examples import read_split
from pkd_core.data.glue import load_task
from pkd_core.data.task import Task
from pkd_core.data.token_table import TokenTable, append_unlabelled
from pkd_core.data.tokenize import write_tokens
from pkd_core.data.validation import check_examples
from pkd_core.errors import DataError
from pkd_core.runtime.observer import LogObserver

ROWS = ["a cat\tfear|joy", "dogs\t", "a cat sat\tjoy", "dogs running\tanger"]


def task_of(data_raw: Path, train: list[str] = ROWS, dev: list[str] = ROWS) -> Task:
    folder = data_raw / "Moods"
    folder.mkdir()
    (folder / "task.toml").write_text(SEVERAL_LABELS_FILE, encoding="utf-8")
    for split, rows in (("train", train), ("dev", dev)):
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return load_task("Moods", data_raw)


def test_labels_are_separated_by_bars_and_an_empty_field_is_none(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    labels = [one.label for one in read_split(tmp_path / "Moods/train.tsv", task, task.train_split)]
    assert labels == [(1, 2), (), (1,), (0,)]  # of anger, joy, fear
    check_examples(task, tmp_path)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("joy|sad", "train.tsv:2: expected a label out of anger, joy, fear, got 'sad'; fix the file"),
        ("joy|joy", "expected every label of an example once, got 'joy|joy'"),
        ("joy| fear", "expected a label out of anger, joy, fear, got ' fear'"),
        ("joy|", "expected a label out of anger, joy, fear, got ''"),
    ],
)
def test_a_malformed_list_of_labels_is_reported(tmp_path: Path, field: str, message: str) -> None:
    task = task_of(tmp_path, [f"a\t{field}", *ROWS])
    with pytest.raises(DataError) as caught:
        check_examples(task, tmp_path)
    assert message in str(caught.value)


def test_a_label_of_no_training_example_and_one_answer_to_all_of_dev_are_reported(tmp_path: Path) -> None:
    task = task_of(tmp_path, ["a\tjoy|anger", "b\t"], ["a\t", "b\t"])
    with pytest.raises(DataError, match=r"train.tsv: expected examples of every label of Moods, .* of fear;"):
        check_examples(task, tmp_path)
    (tmp_path / "Moods/train.tsv").write_text("sentence\tlabel\na\tjoy|anger\nb\tfear\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"dev.tsv: expected at least two different labels, .* no label alone"
    ):
        check_examples(task, tmp_path)


def test_each_label_becomes_0_or_1_and_that_of_an_unlabelled_text_is_missing(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    task = task_of(tmp_path)
    (tmp_path / "Moods/test.tsv").write_text("sentence\na cat\ndogs\n", encoding="utf-8")
    write_tokens(tmp_path, tmp_path, task, tokenizer_folder, 16, LogObserver("test"), shard_rows=3)
    train, test = TokenTable.load(tmp_path, "train"), TokenTable.load(tmp_path, "test")
    assert train.labels_R is not None and test.labels_R is None
    assert train.labels_R.dtype == np.float32
    assert train.labels_R.tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    both = append_unlabelled(train, test)
    assert both.labels_R is not None
    assert both.labels_R.shape == (6, 3)
    assert np.isnan(both.labels_R).tolist() == 4 * [3 * [False]] + 2 * [3 * [True]]
