"""Own data become an ordinary task in data_raw, with equal bytes for equal data, and overwrite nothing of a user."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from own_files import read, rows_of, write, write_csv, write_jsonl

from pkd_core.data.examples import read_split
from pkd_core.data.glue import load_task
from pkd_core.data.validation import check_examples, check_unlabelled
from pkd_core.errors import DataError
from pkd_core.own_data.write import write_task


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_csv_becomes_a_task_with_its_own_names(tmp_path: Path) -> None:
    rows = rows_of(60)
    own = read(write_csv(tmp_path / "my tickets.csv", rows, ("Message", "Category")))
    assert write_task(own, tmp_path / "data_raw") == "my-tickets"
    task = load_task("my-tickets", tmp_path / "data_raw")
    assert (task.labels, task.metrics) == (("buy", "hold", "sell"), ("accuracy", "macro_f1"))
    assert (task.train_split.texts, task.train_split.label) == (("Message",), "Category")
    assert [split.name for split in task.dev_splits] == ["dev", "test"]
    check_examples(task, tmp_path / "data_raw")
    found = [
        (one.texts[0], task.labels[int(one.label)])  # type: ignore[arg-type]
        for split in task.splits
        for one in read_split(tmp_path / "data_raw" / split.file, task, split)
    ]
    assert sorted(found) == sorted(rows)


def test_rows_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = rows_of(9000)
    own = read(write_csv(tmp_path / "a.csv", rows), test_fraction=0)
    write_task(own, tmp_path)
    train, dev = (
        pq.read_table(tmp_path / "a" / f"{split}.parquet")["text"].to_pylist() for split in ("train", "dev")
    )
    assert (len(train), len(dev)) == (8100, 900)
    in_dev = set(dev)
    assert train == [text for text, _ in rows if text not in in_dev]
    assert pq.ParquetFile(tmp_path / "a/train.parquet").num_row_groups == 1


def test_equal_data_give_equal_bytes_whatever_their_place(tmp_path: Path) -> None:
    folders = []
    for place in ("here", "there"):
        own = read(write_csv(tmp_path / place / "Mine.csv", rows_of(40)))
        write_task(own, tmp_path / place / "data_raw")
        folders.append(bytes_of(tmp_path / place / "data_raw" / "Mine"))
    assert folders[0] == folders[1]
    assert sorted(folders[0]) == ["dev.parquet", "task.toml", "test.parquet", "train.parquet"]


def test_the_same_data_are_not_written_again(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "Mine.csv", rows_of(40)))
    write_task(own, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "Mine").iterdir()}
    write_task(own, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "Mine").iterdir()} == times
    (tmp_path / "Mine/dev.parquet").unlink()
    write_task(own, tmp_path)
    check_examples(load_task("Mine", tmp_path), tmp_path)


def test_changed_data_replace_what_was_imported(tmp_path: Path) -> None:
    rows = rows_of(40)
    path = write_jsonl(
        tmp_path / "Mine.jsonl", ({"text": text, "label": label} for text, label in [*rows, ("free", "")])
    )
    write_task(read(path), tmp_path)
    task = load_task("Mine", tmp_path)
    check_unlabelled(task, tmp_path)
    write_jsonl(path, ({"text": text, "label": label} for text, label in rows))
    write_task(read(path, test_fraction=0), tmp_path)
    assert sorted(bytes_of(tmp_path / "Mine")) == ["dev.parquet", "task.toml", "train.parquet"]
    assert [split.name for split in load_task("Mine", tmp_path).dev_splits] == ["dev"]


def test_an_interrupted_import_is_written_again(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "Mine.csv", rows_of(40)))
    write_task(own, tmp_path)
    whole = bytes_of(tmp_path / "Mine")
    write(tmp_path / "Mine/task.toml", '[imported]\ndigest = ""\n')
    write(tmp_path / "Mine/dev.parquet.part", "half of it")
    (tmp_path / "Mine/train.parquet").unlink()
    write_task(own, tmp_path)
    assert bytes_of(tmp_path / "Mine") == whole


@pytest.mark.parametrize("content", [None, 'texts = ["a"]\n', "[imported]\n", "not TOML"])
def test_a_folder_of_the_user_is_never_overwritten(tmp_path: Path, content: str | None) -> None:
    own = read(write_csv(tmp_path / "Mine.csv", rows_of(40)))
    (tmp_path / "data_raw/Mine").mkdir(parents=True)
    if content is not None:
        write(tmp_path / "data_raw/Mine/task.toml", content)
    before = bytes_of(tmp_path / "data_raw/Mine")
    with pytest.raises(
        DataError, match=r"Mine is there already, and was not made .* another name with --name"
    ):
        write_task(own, tmp_path / "data_raw")
    assert bytes_of(tmp_path / "data_raw/Mine") == before


def test_labels_that_toml_must_escape_come_back(tmp_path: Path) -> None:
    labels = ('say "no"', "tab\there", "naïve 🙂", "back\\slash", "del\x7f")
    write_task(read(write_csv(tmp_path / "Mine.csv", rows_of(60, labels))), tmp_path)
    assert load_task("Mine", tmp_path).labels == tuple(sorted(labels))
