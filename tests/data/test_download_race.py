"""The hub's rows of RACE become its own files again, one for each article, and nothing is overwritten."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
from command import run_pkd
from datasets import Dataset, DatasetDict

from pkd_core.data.download import download_task
from pkd_core.data.race import RACE, question_files, read_questions
from pkd_core.errors import DataError

OPTIONS = [["dry", "wet", "hot", "cold"], ["“1”", "2", "3", "4"]]


def rows(level: str, split: str) -> list[dict[str, Any]]:
    """Return two articles of two questions, and one of one, in the hub's form."""
    return [
        {
            "example_id": f"{level}{article}.txt",
            "article": f"{level} {split} article {article}\nwith a\ttab",
            "question": f"{level} {split} question {article}.{number}: _ ?",
            "options": OPTIONS[number],
            "answer": "ABCD"[(article + number) % 4],
        }
        for article, number in ((7, 0), (7, 1), (12, 0), (12, 1), (100, 0))
    ]


def hub(name: str, level: str) -> DatasetDict:
    """Stand in for the hub."""
    assert name == "ehovy/race"
    return DatasetDict(
        {split: Dataset.from_list(rows(level, split)) for split in ("train", "validation", "test")}
    )


def test_the_files_of_an_article_hold_its_questions_in_order(tmp_path: Path) -> None:
    folders = download_task("RACE", tmp_path, hub)
    assert folders == [
        tmp_path / "RACE" / split / level
        for split in ("train", "dev", "test")
        for level in ("middle", "high")
    ]
    assert [path.name for path in question_files(tmp_path / "RACE/dev/high")] == [
        "100.txt",
        "12.txt",
        "7.txt",
    ]
    examples = list(read_questions(tmp_path / "RACE/dev/high", RACE.split("dev-high")))
    # In the order of the files' names.
    expected = [rows("high", "validation")[position] for position in (4, 2, 3, 0, 1)]
    assert [example.texts for example in examples] == [
        (row["article"], row["question"], *row["options"]) for row in expected
    ]
    assert [RACE.labels[int(example.label or 0)] for example in examples] == [
        row["answer"] for row in expected
    ]
    assert len(list(read_questions(tmp_path / "RACE/train", RACE.train_split))) == 10


def changed(fault: Mapping[str, Any]) -> Any:
    """Return a hub whose last question of high's validation split differs."""

    def load(name: str, level: str) -> DatasetDict:
        tables = hub(name, level)
        if level == "high":
            of_dev = rows(level, "validation")
            of_dev[-2] |= fault
            tables["validation"] = Dataset.from_list(of_dev)
        return tables

    return load


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            {"example_id": "../../etc.txt"},
            r"expected the name of a file of RACE as its example_id, got '\.\./\.\./etc",
        ),
        ({"answer": "E"}, "high12.txt: expected four options and an answer of A, B, C or D, got 4 and 'E'"),
        ({"options": ["a", "b"]}, "high12.txt: expected four options .* got 2 and "),
        ({"article": "another"}, "ehovy/race high validation high12.txt: expected one article, got several"),
    ],
)
def test_unexpected_contents_leave_nothing(tmp_path: Path, fault: Mapping[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        download_task("RACE", tmp_path / "data_raw", changed(fault))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "data_raw/RACE").exists()


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="ehovy/race middle validation: expected a split with the column 'answer'"
    ):
        download_task("RACE", tmp_path, lambda name, level: {"train": hub(name, level)["train"]})


def test_an_existing_folder_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "load_dataset", hub)
    assert run_pkd("fetch", "RACE", "--workspace", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"wrote {tmp_path}/data_raw/RACE/train/middle"
    (tmp_path / "data_raw/RACE/dev/high/7.txt").write_text("mine", encoding="utf-8")
    assert run_pkd("fetch", "RACE", "--workspace", str(tmp_path)) == 2
    assert (
        "RACE: expected no folder there, got one; move it away to download RACE again"
        in capsys.readouterr().err
    )
    assert (tmp_path / "data_raw/RACE/dev/high/7.txt").read_text(encoding="utf-8") == "mine"
