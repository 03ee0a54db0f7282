"""Tokens on disk equal the output of transformers' own tokenizer, also after an interruption."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pkd_core.data.glue import GLUE_TASKS, Task, load_task
from pkd_core.data.tokenize import tokens_schema, write_tokens
from pkd_core.errors import DataError, ModelError
from pkd_core.runtime.observer import LogObserver

RTE, SST2, STSB = GLUE_TASKS["RTE"], GLUE_TASKS["SST-2"], GLUE_TASKS["STS-B"]
OBSERVER = LogObserver("test")
FEW_EXAMPLES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)

words = st.sampled_from(["the", "a", "cat", "dogs", "running", "b", "bcb", "é", "unknown", ".", ",", "!"])
texts = st.lists(words, max_size=12).map(" ".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0"), max_size=20
)


def write_rte_files(
    data_raw: Path, pairs: list[tuple[str, str]], splits: tuple[str, ...] = ("train", "dev")
) -> None:
    (data_raw / "RTE").mkdir(parents=True, exist_ok=True)
    for split in splits:
        label = "" if split == "test" else "\tentailment"
        lines = [f"{n}\t{first}\t{second}{label}" for n, (first, second) in enumerate(pairs)]
        header = "index\tsentence1\tsentence2" + ("" if split == "test" else "\tlabel")
        (data_raw / f"RTE/{split}.tsv").write_text(
            "\n".join([header, *lines]) + "\n", encoding="utf-8", newline=""
        )


def write_sst2_files(data_raw: Path, sentences: list[str]) -> None:
    (data_raw / "SST-2").mkdir(parents=True, exist_ok=True)
    lines = [f"{sentence}\t1" for sentence in sentences]
    for split in ("train", "dev"):
        text = "\n".join(["sentence\tlabel", *lines]) + "\n"
        (data_raw / f"SST-2/{split}.tsv").write_text(text, encoding="utf-8", newline="")


@pytest.fixture(scope="module")
def reference(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tokenizer_folder)
    return tokenizer


def tokenized(root: Path, task: Task, tokenizer_folder: Path, max_length: int) -> Mapping[str, Any]:
    """Tokenise and return three columns of the train split."""
    with tempfile.TemporaryDirectory(dir=root) as work:
        write_tokens(Path(work), root, task, tokenizer_folder, max_length, OBSERVER)
        columns = pq.read_table(Path(work) / "train-00000.parquet").to_pydict()
    return {name: columns[name] for name in ("input_ids", "second_start", "length")}


def expected_columns(
    tokenizer: PreTrainedTokenizerBase, max_length: int, *columns: list[str]
) -> Mapping[str, Any]:
    encoded = tokenizer(*columns, truncation=True, max_length=max_length)
    return {
        "input_ids": encoded["input_ids"],
        # The second segment begins at the first 1.
        "second_start": [types.index(1) if 1 in types else len(types) for types in encoded["token_type_ids"]],
        "length": [len(ids) for ids in encoded["input_ids"]],
    }


@FEW_EXAMPLES
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=6), max_length=st.integers(8, 24))
def test_pairs_equal_the_output_of_auto_tokenizer(
    tmp_path: Path,
    tokenizer_folder: Path,
    reference: PreTrainedTokenizerBase,
    pairs: list[tuple[str, str]],
    max_length: int,
) -> None:
    write_rte_files(tmp_path, pairs)
    firsts, seconds = (list(column) for column in zip(*pairs, strict=True))
    expected = expected_columns(reference, max_length, firsts, seconds)
    assert tokenized(tmp_path, RTE, tokenizer_folder, max_length) == expected


@FEW_EXAMPLES
@given(sentences=st.lists(texts, min_size=1, max_size=6), max_length=st.integers(8, 24))
def test_single_texts_equal_the_output_of_auto_tokenizer(
    tmp_path: Path,
    tokenizer_folder: Path,
    reference: PreTrainedTokenizerBase,
    sentences: list[str],
    max_length: int,
) -> None:
    write_sst2_files(tmp_path, sentences)
    expected = expected_columns(reference, max_length, sentences)
    assert tokenized(tmp_path, SST2, tokenizer_folder, max_length) == expected


@pytest.mark.parametrize(
    ("side", "words_kept"),
    [("right", (["the", "cat", "sat"], ["a", "dog", "run"])), ("left", (["run", "b", "c"], ["b", "c", "."]))],
)
def test_both_texts_are_truncated_on_the_tokenizer_s_side(
    tmp_path: Path,
    tokenizer_folder: Path,
    reference: PreTrainedTokenizerBase,
    side: str,
    words_kept: tuple[list[str], list[str]],
) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(tokenizer_folder, folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"truncation_side": side}), encoding="utf-8")
    write_rte_files(tmp_path, [("the cat sat a dog run b c", "a dog run the cat sat b c .")])
    first, second = words_kept
    tokens = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
    assert tokenized(tmp_path, RTE, folder, max_length=9) == {
        "input_ids": [reference.convert_tokens_to_ids(tokens)],
        "second_start": [5],
        "length": [9],
    }


PAIRS = [("the cat sat", "dogs running " * n) for n in range(10)]


def read_all(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(work.iterdir())}


def tokenize_rte(tmp_path: Path, name: str, tokenizer_folder: Path) -> Path:
    write_rte_files(tmp_path, PAIRS)
    work = tmp_path / name
    work.mkdir(exist_ok=True)
    write_tokens(work, tmp_path, RTE, tokenizer_folder, 16, OBSERVER, shard_rows=4)
    return work


def test_shards_hold_shard_rows_in_the_order_of_the_file(tmp_path: Path, tokenizer_folder: Path) -> None:
    work = tokenize_rte(tmp_path, "work", tokenizer_folder)
    assert [path.name for path in sorted(work.iterdir())] == [
        f"{split}-{number:05d}.parquet" for split in ("dev", "train") for number in range(3)
    ]
    tables = [pq.read_table(work / f"train-{number:05d}.parquet") for number in range(3)]
    assert [table["example_id"].to_pylist() for table in tables] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert tables[0].schema.equals(tokens_schema(RTE))


class StopAfter:
    """An observer that interrupts the call at the n-th shard."""

    def __init__(self, num_shards: int) -> None:
        self.num_shards = num_shards
        self.done: list[int] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        raise AssertionError

    def progress(self, done: int, total: int, unit: str) -> None:
        assert total == 2 * len(PAIRS)
        self.done.append(done)
        if len(self.done) == 1 + self.num_shards:
            raise KeyboardInterrupt


@pytest.mark.parametrize("num_shards", range(1, 7))
def test_a_call_after_an_interrupted_one_writes_the_same_bytes(
    tmp_path: Path, tokenizer_folder: Path, num_shards: int
) -> None:
    work = tmp_path / "resumed"
    work.mkdir()
    write_rte_files(tmp_path, PAIRS)
    observer = StopAfter(num_shards)
    with pytest.raises(KeyboardInterrupt):
        write_tokens(work, tmp_path, RTE, tokenizer_folder, 16, observer, shard_rows=4)
    assert observer.done == [0, 4, 8, 10, 14, 18, 20][: 1 + num_shards]
    # The shard that was being written is not published; damage to the others is of no consequence.
    shards = sorted(work.glob("*.parquet"))
    assert len(shards) == num_shards - 1
    for shard in shards:
        shard.write_bytes(shard.read_bytes().replace(b"PAR1", b"PAR2"))
    assert read_all(tokenize_rte(tmp_path, "resumed", tokenizer_folder)) == read_all(
        tokenize_rte(tmp_path, "at-once", tokenizer_folder)
    )


@pytest.mark.parametrize("keep_bytes", [0, 100, -10])
def test_a_truncated_shard_and_a_partial_one_are_written_again(
    tmp_path: Path, tokenizer_folder: Path, keep_bytes: int
) -> None:
    work = tokenize_rte(tmp_path, "work", tokenizer_folder)
    before = read_all(work)
    shard = work / "train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:keep_bytes])
    (work / "train-00001.parquet.part").write_bytes(b"PAR1 half")
    assert read_all(tokenize_rte(tmp_path, "work", tokenizer_folder)) == before


def test_rows_lengths_and_skipped_lines_are_returned(tmp_path: Path, tokenizer_folder: Path) -> None:
    (tmp_path / "QQP").mkdir()
    good = "0\t1\t2\tthe cat\tthe dog sat\t1\n"
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    (tmp_path / "QQP/train.tsv").write_text(header + good + "the rest\n" + good, encoding="utf-8")
    (tmp_path / "QQP/dev.tsv").write_text(header + good, encoding="utf-8")
    facts = write_tokens(tmp_path, tmp_path, GLUE_TASKS["QQP"], tokenizer_folder, 16, OBSERVER)
    assert facts == {
        "rows": {"train": 2, "dev": 1},
        "mean_length": 8.0,
        "skipped_lines": {"train": ["line 3: expected 6 fields, got 1"]},
    }


def test_an_optional_split_may_be_missing(tmp_path: Path, tokenizer_folder: Path) -> None:
    write_rte_files(tmp_path, PAIRS)
    assert set(write_tokens(tmp_path, tmp_path, RTE, tokenizer_folder, 16, OBSERVER)["rows"]) == {
        "train",
        "dev",
    }
    write_rte_files(tmp_path, PAIRS, ("test",))
    assert set(write_tokens(tmp_path, tmp_path, RTE, tokenizer_folder, 16, OBSERVER)["rows"]) == {
        "train",
        "dev",
        "test",
    }
    assert pq.read_table(tmp_path / "test-00000.parquet")["label"].null_count == len(PAIRS)


def custom_task(data_raw: Path) -> Task:
    (data_raw / "Mine").mkdir()
    text = 'texts = ["a"]\nlabel = "y"\nlabels = ["0", "1"]\nmetrics = ["accuracy"]\n'
    (data_raw / "Mine/task.toml").write_text(text, encoding="utf-8")
    return load_task("Mine", data_raw)


def test_a_missing_required_split_is_an_error_before_anything_is_written(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    write_rte_files(tmp_path, PAIRS, ("train", "test"))
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(DataError, match=r"RTE/dev.tsv: .* run `pkd fetch RTE` or put the file there"):
        write_tokens(work, tmp_path, RTE, tokenizer_folder, 16, OBSERVER)
    with pytest.raises(
        DataError, match=r"Mine/train.tsv: expected the train split of Mine, got no such file; put"
    ):
        write_tokens(work, tmp_path, custom_task(tmp_path), tokenizer_folder, 16, OBSERVER)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{}", b'{"added_tokens": []}', b"\xff\xfe"],
    ids=["none", "empty", "{}", "half", "bytes"],
)
def test_a_folder_without_a_usable_tokenizer_is_a_model_error(tmp_path: Path, content: bytes | None) -> None:
    write_rte_files(tmp_path, PAIRS)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    if content is not None:
        (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"model: expected a tokenizer") as caught:
        write_tokens(tmp_path, tmp_path, RTE, folder, 16, OBSERVER)
    assert "\n" not in str(caught.value)
