"""The authors' truncation, written out as their loop, and what it does to the tokens of a file."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.tokenize import write_tokens
from pkd_core.data.tokenizer import load_tokenizer
from pkd_core.data.truncation import Truncation, kept_tokens
from pkd_core.runtime.observer import LogObserver

RTE = GLUE_TASKS["RTE"]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 40))
def test_kept_tokens_are_those_of_the_loop_that_removes_one_at_a_time(
    num_first: int, num_second: int, limit: int
) -> None:
    first, second = ["a"] * num_first, ["b"] * num_second
    while len(first) + len(second) > limit:
        (first if len(first) > len(second) else second).pop()
    assert kept_tokens(num_first, num_second, limit) == (len(first), len(second))


@pytest.fixture
def backend(tokenizer_folder: Path) -> Tokenizer:
    found: Tokenizer = load_tokenizer(tokenizer_folder).backend_tokenizer
    return found


def test_of_two_long_texts_the_first_keeps_one_token_more(
    tmp_path: Path, tokenizer_folder: Path, backend: Tokenizer
) -> None:
    files = {"train": ["the cat sat the cat\ta dog run a dog", "the cat\ta dog"], "dev": ["the\ta"]}
    for split, texts in files.items():
        path = tmp_path / RTE.split(split).file
        path.parent.mkdir(exist_ok=True)
        lines = [f"{number}\t{text}\tentailment" for number, text in enumerate(texts)]
        path.write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *lines]) + "\n", encoding="utf-8")
    expected: dict[Truncation, list[str]] = {
        "first-text-longer": ["[CLS] the cat sat [SEP] a dog [SEP]", "[CLS] the cat [SEP] a dog [SEP]"],
        "second-text-longer": ["[CLS] the cat [SEP] a dog run [SEP]", "[CLS] the cat [SEP] a dog [SEP]"],
    }
    for truncation, kept in expected.items():
        work = tmp_path / truncation
        work.mkdir()
        observer = LogObserver("test")
        write_tokens(work, tmp_path, RTE, tokenizer_folder, 8, observer, truncation=truncation)
        columns = pq.read_table(work / "train-00000.parquet").to_pydict()
        assert columns["input_ids"] == [[backend.token_to_id(word) for word in text.split()] for text in kept]
        assert columns["second_start"] == [text.split().index("[SEP]") + 1 for text in kept]
        assert columns["length"] == [8, 7]
