"""RACE's files, read strictly: every question with its four options, as four sequences of tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import write_tiny_model
from tiny_bert import Recorder
from transformers import AutoTokenizer

from pkd_core.data.glue import load_task
from pkd_core.data.holdout import hold_out
from pkd_core.data.race import RACE, read_questions, sequences
from pkd_core.data.token_table import TokenTable
from pkd_core.data.tokenize import write_tokens
from pkd_core.errors import DataError
from pkd_core.pipeline.sources import hash_raw_files, source_files

CONTENT: dict[str, Any] = {
    "article": "the film was good . the book was bad .",
    "questions": ["the book was _ .", "the film was ?"],
    "options": [["good", "bad", "fine", "poor"], ["poor", "fine", "good", "bad"]],
    "answers": ["B", "C"],
    "id": "high1.txt",
}


def write(root: Path, split: str, level: str, name: str, **changes: Any) -> Path:
    path = root / "RACE" / split / level / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(CONTENT | changes), encoding="utf-8")
    return path


@pytest.fixture
def data_raw(tmp_path: Path) -> Path:
    root = tmp_path / "data_raw"
    for split in ("train", "dev", "test"):
        write(root, split, "high", "2.txt")
        write(root, split, "high", "10.txt", answers=["A", "D"])
        write(root, split, "middle", "1.txt", answers=["D", "A"])
    return root


def test_every_question_is_an_example_numbered_in_the_order_of_the_files(data_raw: Path) -> None:
    examples = list(read_questions(data_raw / "RACE/dev", RACE.split("dev")))
    assert [one.example_id for one in examples] == list(range(6))
    assert [one.label for one in examples] == [0, 3, 1, 2, 3, 0]
    assert examples[2].texts == (CONTENT["article"], CONTENT["questions"][0], *CONTENT["options"][0])
    assert [len(list(read_questions(data_raw / split.file, split))) for split in RACE.dev_splits] == [6, 2, 4]
    unlabelled = read_questions(data_raw / "RACE/test", RACE.split("test"))
    assert {one.label for one in unlabelled} == {None}


def test_an_option_fills_the_gap_or_follows_the_question() -> None:
    texts = (CONTENT["article"], CONTENT["questions"][0], *CONTENT["options"][0])
    assert sequences(texts)[1] == (CONTENT["article"], "the book was bad .")
    texts = (CONTENT["article"], CONTENT["questions"][1], *CONTENT["options"][1])
    assert sequences(texts)[3] == (CONTENT["article"], "the film was ? bad")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"article": ""}, "expected an article"),
        ({"answers": ["B"]}, "expected a list of answers, as many as questions"),
        ({"options": "good"}, "expected a list of options"),
        (
            {"options": [["good", "bad", "fine"], ["a", "b", "c", "d"]]},
            "expected four options for each question",
        ),
        ({"questions": [3, "the film was ?"]}, "expected a question, got 3"),
        ({"answers": ["B", "E"]}, "expected an answer of A, B, C or D, got 'E'"),
        ({"answers": ["B", ["C"]]}, "expected an answer of A, B, C or D"),
    ],
)
def test_a_file_of_another_form_is_refused_by_its_name(
    data_raw: Path, changes: dict[str, Any], message: str
) -> None:
    write(data_raw, "dev", "high", "3.txt", **changes)
    with pytest.raises(DataError, match=rf"high/3\.txt: {message}.*; fix the file$"):
        list(read_questions(data_raw / "RACE/dev", RACE.split("dev")))


@pytest.mark.parametrize("content", ["{", "[]", '{"article": "a"}', "\udcff"])
def test_what_is_no_json_of_race_is_refused(data_raw: Path, content: str) -> None:
    path = data_raw / "RACE/dev/high/3.txt"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"high/3\.txt: expected a JSON object.*; fix the file$"):
        list(read_questions(data_raw / "RACE/dev", RACE.split("dev")))


def test_a_folder_without_questions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "RACE/dev").mkdir(parents=True)
    with pytest.raises(DataError, match=r"middle/\*\.txt and high/\*\.txt.*unpack RACE there"):
        list(read_questions(tmp_path / "RACE/dev", RACE.split("dev")))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race") / "model"
    write_tiny_model(folder)
    return folder


@pytest.mark.parametrize("max_length", [64, 14])
def test_tokens_are_those_of_transformers_with_the_article_cut(
    data_raw: Path, model: Path, tmp_path: Path, max_length: int
) -> None:
    facts = write_tokens(tmp_path, data_raw, RACE, model, max_length, Recorder())
    assert facts["rows"] == {"train": 6, "dev": 6, "dev-middle": 2, "dev-high": 4, "test": 6}
    table = TokenTable.load(tmp_path, "dev")
    assert (len(table), table.num_choices, len(table.lengths)) == (6, 4, 24)
    assert table.labels_R is not None
    assert (table.example_ids_R.tolist(), table.labels_R.tolist()) == (list(range(6)), [0, 3, 1, 2, 3, 0])
    assert TokenTable.load(tmp_path, "test").labels_R is None
    tokenizer = AutoTokenizer.from_pretrained(model)
    for row, example in enumerate(read_questions(data_raw / "RACE/dev", RACE.split("dev"))):
        for choice, pair in enumerate(sequences(example.texts)):
            sequence = 4 * row + choice
            expected = tokenizer(*pair, truncation="only_first", max_length=max_length)["input_ids"]
            tokens = table.input_ids[table.offsets[sequence] : table.offsets[sequence + 1]].tolist()
            assert tokens == expected
            second = len(tokenizer(pair[1], add_special_tokens=False)["input_ids"]) + 1
            assert table.second_starts_R[sequence] == len(expected) - second


def test_a_question_longer_than_the_limit_is_cut_at_its_end(
    data_raw: Path, model: Path, tmp_path: Path
) -> None:
    write_tokens(tmp_path, data_raw, RACE, model, 8, Recorder())
    table = TokenTable.load(tmp_path, "dev")
    assert set(table.lengths.tolist()) == {8}


def test_questions_are_held_out_whole(data_raw: Path, model: Path, tmp_path: Path) -> None:
    facts = write_tokens(tmp_path, data_raw, RACE, model, 64, Recorder())
    before = TokenTable.load(tmp_path, "train")
    assert hold_out(tmp_path, "dev", 0.34, 1, num_choices=4) == {"train": 5, "dev": 1}
    parts = [TokenTable.load(tmp_path, split) for split in ("train", "dev")]
    assert [(len(part), part.num_choices) for part in parts] == [(5, 4), (1, 4)]
    assert sorted(np.concatenate([part.example_ids_R for part in parts])) == list(
        range(facts["rows"]["train"])
    )
    for part in parts:
        for row, example in enumerate(part.example_ids_R):
            found = part.input_ids[part.offsets[4 * row] : part.offsets[4 * row + 4]]
            assert (
                found.tolist()
                == before.input_ids[before.offsets[4 * example] : before.offsets[4 * example + 4]].tolist()
            )


def test_the_task_is_found_and_every_file_is_part_of_its_address(data_raw: Path) -> None:
    assert load_task("RACE", data_raw) is RACE
    before = hash_raw_files(RACE, data_raw)
    path = write(data_raw, "dev", "middle", "1.txt", answers=["D", "B"])
    after = hash_raw_files(RACE, data_raw)
    assert {split for split in before if before[split] != after[split]} == {"dev", "dev-middle"}
    assert path in source_files(["raw/dev"], RACE, data_raw, data_raw)
    with pytest.raises(
        DataError, match=r"RACE needs .*train, which does not exist; run `pkd fetch RACE`, or put"
    ):
        hash_raw_files(RACE, data_raw / "elsewhere")
