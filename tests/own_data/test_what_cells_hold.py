"""Columns of texts that are empty or hold lists, and classes that may be several labels: one sentence for each."""

import json
from pathlib import Path

from own_files import read, refused, rows_of, write, write_csv

ROWS = rows_of(60)


def test_a_column_of_texts_that_is_empty(tmp_path: Path) -> None:
    empty = [("", label) for _, label in ROWS]
    refused(
        {}, write_csv(tmp_path / "a.csv", empty), "expected texts in the column 'text', got none in the first"
    )
    rows = [("", label, text) for text, label in ROWS]
    own = read(write_csv(tmp_path / "b.csv", rows, ("text", "label", "body")))
    assert own.texts == ("body",)


def test_a_class_that_may_be_several_labels(tmp_path: Path) -> None:
    labels = ("buy", "sell;hold", "hold")
    own = read(write_csv(tmp_path / "a.csv", rows_of(60, labels)))
    assert "The class 'sell;hold' may be several labels; if it is, give --label-separator ';'." in own.notes
    several = read(tmp_path / "a.csv", label_separator=";")
    assert (several.labels.kind, several.labels.names) == ("multi-label", ("buy", "hold", "sell"))
    own = read(write_csv(tmp_path / "b.csv", rows_of(60, ("toys, games", "books/films"))))
    assert not any("may be several labels" in note for note in own.notes)


def test_a_label_that_is_given_as_the_split(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS)
    refused(
        {"split_column": "label"},
        path,
        r"its columns are text, label, and 'label' says which rows are train",
    )


def test_texts_inside_of_lists_of_objects(tmp_path: Path) -> None:
    paragraphs = {"data": [{"paragraphs": [{"text": text, "label": label}]} for text, label in ROWS]}
    refused(
        {},
        write(tmp_path / "c.json", json.dumps(paragraphs)),
        r"a text in each row, got lists or objects \(in paragraphs\); write an object such as",
    )
