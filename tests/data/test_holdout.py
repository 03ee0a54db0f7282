"""Rows held out of train: a part of it, in the same proportions, the same one for a seed, and none on both sides."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pkd_core.data.holdout import choose_held_out, hold_out
from pkd_core.data.token_table import TokenTable

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)


def write_tokens(folder: Path, labels: list[int], per_shard: int = 40) -> None:
    for number, start in enumerate(range(0, len(labels), per_shard)):
        part = labels[start : start + per_shard]
        columns = {
            "example_id": pa.array(range(start, start + len(part)), pa.int64()),
            "input_ids": pa.array(
                [[row, row + 1] for row in range(start, start + len(part))], pa.list_(pa.int32())
            ),
            "second_start": pa.array([2] * len(part), pa.int32()),
            "length": pa.array([2] * len(part), pa.int32()),
            "label": pa.array(part, pa.int64()),
        }
        pq.write_table(pa.table(columns), folder / f"train-{number:05d}.parquet")


def test_each_class_has_the_same_part_on_both_sides() -> None:
    held_out = choose_held_out(LABELS, 0.2, seed=0)
    assert len(held_out) == 20
    assert np.bincount(LABELS[held_out]).tolist() == [12, 6, 2]


def test_scores_are_held_out_over_their_whole_range() -> None:
    scores = np.random.default_rng(1).uniform(0, 5, 200).astype(np.float32)
    held_out = choose_held_out(scores, 0.1, seed=0)
    by_range = np.histogram(scores[held_out], bins=np.quantile(scores, np.linspace(0, 1, 5)))[0]
    assert by_range.tolist() == [5, 5, 5, 5]


def test_the_same_seed_holds_out_the_same_rows_and_another_one_others() -> None:
    first = choose_held_out(LABELS, 0.2, seed=0)
    assert choose_held_out(LABELS, 0.2, seed=0).tolist() == first.tolist()
    assert len(set(choose_held_out(LABELS, 0.2, seed=1)) & set(first)) < 15


@pytest.mark.parametrize("seed", range(20))
def test_train_keeps_every_class_that_has_a_row(seed: int) -> None:
    labels = np.array([0] * 7 + [1, 2, 2])
    held_out = choose_held_out(labels, 0.5, seed)
    rest = np.delete(labels, held_out)
    assert 3 <= len(held_out) <= 5
    assert set(rest) == {0, 1, 2}


def test_the_shards_are_divided_and_no_row_is_lost_or_on_both_sides(tmp_path: Path) -> None:
    write_tokens(tmp_path, LABELS.tolist())
    assert hold_out(tmp_path, "dev", 0.2, seed=0) == {"train": 80, "dev": 20}
    train, dev = TokenTable.load(tmp_path, "train"), TokenTable.load(tmp_path, "dev")
    assert set(train.example_ids_R) & set(dev.example_ids_R) == set()
    assert sorted([*train.example_ids_R, *dev.example_ids_R]) == list(range(100))
    assert dev.example_ids_R.tolist() == choose_held_out(LABELS, 0.2, seed=0).tolist()
    # The tokens and labels stay with their ids.
    assert dev.input_ids[::2].tolist() == dev.example_ids_R.tolist()
    assert dev.labels_R is not None
    assert dev.labels_R.tolist() == LABELS[dev.example_ids_R].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev-00000.parquet", "train-00000.parquet"]


def test_of_several_labels_the_rarest_of_a_row_is_its_class() -> None:
    labels = np.zeros((100, 3), dtype=np.float32)
    labels[:60, 0] = 1
    labels[40:60, 1] = 1  # beside the frequent one
    labels[60:70, 2] = 1  # and 30 rows have none
    held_out = choose_held_out(labels, 0.2, seed=0)
    parts = [range(40), range(40, 60), range(60, 70), range(70, 100)]
    assert [len(set(part) & set(held_out.tolist())) for part in parts] == [8, 4, 2, 6]


def test_a_part_of_rows_with_several_labels_becomes_the_dev_split(tmp_path: Path) -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 5, dtype=np.float32)
    write_tokens(tmp_path, [0] * 20)
    path = tmp_path / "train-00000.parquet"
    table = pq.read_table(path).drop_columns("label")
    pq.write_table(table.append_column("label", pa.array(labels.tolist(), pa.list_(pa.float32()))), path)
    assert hold_out(tmp_path, "dev", 0.25, seed=1) == {"train": 15, "dev": 5}
    dev = TokenTable.load(tmp_path, "dev")
    assert dev.labels_R is not None
    assert dev.labels_R.tolist() == labels[dev.example_ids_R].tolist()
