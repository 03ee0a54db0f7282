"""A split is loaded as it was written, and every order of batches holds each row once."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.token_table import TokenTable, length_sorted_batches, shuffled_batches
from pkd_core.data.tokenize import write_tokens
from pkd_core.errors import DataError
from pkd_core.runtime.observer import LogObserver

FIRSTS = [" ".join(["the cat sat"] * (n % 4)) for n in range(11)]
SECONDS = [" ".join(["dogs running !"] * (n % 3 + n // 9)) for n in range(11)]
SCORES = [n / 2 for n in range(11)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """Tokens of eleven STS-B pairs in shards of four; the test file numbers them in reverse."""
    root = tmp_path_factory.mktemp("data_raw")
    (root / "STS-B").mkdir()
    rows = list(zip(FIRSTS, SECONDS, SCORES, strict=True))
    labelled = "sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{score}\n" for a, b, score in rows)
    for split in ("train", "dev"):
        (root / f"STS-B/{split}.tsv").write_text(labelled, encoding="utf-8")
    test = "".join(f"{10 - n}\t{a}\t{b}\n" for n, (a, b, _) in enumerate(rows))
    (root / "STS-B/test.tsv").write_text("index\tsentence1\tsentence2\n" + test, encoding="utf-8")
    work = tmp_path_factory.mktemp("tokens")
    write_tokens(work, root, GLUE_TASKS["STS-B"], tokenizer_folder, 16, LogObserver("test"), shard_rows=4)
    return work


def test_a_split_is_loaded_as_it_was_written(folder: Path, tokenizer_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    encoded = tokenizer(FIRSTS, SECONDS, truncation=True, max_length=16)
    train, test = TokenTable.load(folder, "train"), TokenTable.load(folder, "test")
    for table in (train, test):
        assert len(table) == 11
        rows = [table.input_ids[start:end].tolist() for start, end in itertools.pairwise(table.offsets)]
        assert rows == encoded["input_ids"]
        assert table.second_starts_R.tolist() == [types.index(1) for types in encoded["token_type_ids"]]
    assert train.example_ids_R.tolist() == list(range(11))
    assert test.example_ids_R.tolist() == list(range(10, -1, -1))
    assert train.labels_R is not None
    assert train.labels_R.dtype == np.float32
    assert train.labels_R.tolist() == SCORES
    assert test.labels_R is None


def test_a_split_is_not_mixed_with_one_whose_name_begins_with_its_name(tmp_path: Path, folder: Path) -> None:
    for shard in folder.glob("dev-*"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
        (tmp_path / shard.name.replace("dev", "dev-mismatched")).write_bytes(shard.read_bytes())
    assert len(TokenTable.load(tmp_path, "dev")) == 11


def test_a_split_that_was_not_tokenised_is_a_data_error(folder: Path) -> None:
    with pytest.raises(DataError, match="expected tokens of the ax split, got none"):
        TokenTable.load(folder, "ax")


def test_shuffled_batches_hold_every_row_once_in_the_generator_s_order(folder: Path) -> None:
    table = TokenTable.load(folder, "train")
    first, again, other = (
        [rows.tolist() for rows in shuffled_batches(table, 4, torch.Generator().manual_seed(seed))]
        for seed in (7, 7, 8)
    )
    assert first == again != other
    assert [len(rows) for rows in first] == [4, 4, 3]
    assert sorted(itertools.chain.from_iterable(first)) == list(range(11))


@given(max_tokens=st.integers(1, 200), rows=st.none() | st.sets(st.integers(0, 10), min_size=1).map(sorted))
def test_length_sorted_batches_hold_every_row_once_within_the_budget(
    folder: Path, max_tokens: int, rows: list[int] | None
) -> None:
    table = TokenTable.load(folder, "train")
    batches = list(length_sorted_batches(table, max_tokens, None if rows is None else np.array(rows)))
    assert sorted(np.concatenate(batches).tolist()) == (list(range(11)) if rows is None else rows)
    for batch in batches:
        lengths = table.lengths[batch]
        assert len(batch) == 1 or len(batch) * lengths.max() <= max_tokens
        assert lengths[0] == lengths.max()
    # A batch is full: the next row would exceed the budget.
    for batch in batches[:-1]:
        assert (len(batch) + 1) * table.lengths[batch].max() > max_tokens
