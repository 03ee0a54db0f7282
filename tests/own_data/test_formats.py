"""Every format gives the same rows, recognised by content: suffixes are wrong on purpose."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_files import Rows, csv_text, read, rows_of, write, write_csv, write_jsonl

from pkd_core.own_data.delimited import open_delimited
from pkd_core.own_data.own_data import OwnData
from pkd_core.own_data.recognise import open_source
from pkd_core.own_data.row_index import read_texts

ROWS = [
    (f'He said "{text}", then; left\n| at\t{row} 🙂', label) for row, (text, label) in enumerate(rows_of(40))
]
OBJECTS = [{"text": text, "label": label} for text, label in ROWS]
BOM = "\ufeff"


def texts_of(own: OwnData) -> list[str]:
    return [one[0] for part in own.parts for texts, _ in read_texts(part) for one in texts]


def labels_of(own: OwnData) -> list[str]:
    return [
        own.labels.names[own.labels.positions(own.index.raw_labels[code])[0]] for code in own.index.labels_R
    ]


def _parquet(path: Path, rows: Rows) -> None:
    texts, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), path, row_group_size=7)


FORMATS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "comma": ("CSV (commas, UTF-8)", lambda path: write(path, csv_text(ROWS))),
    "semicolon": ("CSV (semicolons, UTF-8)", lambda path: write(path, csv_text(ROWS, delimiter=";"))),
    "bar": ("CSV (bars, UTF-8)", lambda path: write(path, csv_text(ROWS, delimiter="|"))),
    "quoted tab": ("TSV (tabs, UTF-8)", lambda path: write(path, csv_text(ROWS, delimiter="\t"))),
    "crlf": ("CSV (commas, UTF-8)", lambda path: write(path, csv_text(ROWS).replace("\n", "\r\n"))),
    "bom": ("CSV (commas, UTF-8)", lambda path: write(path, BOM + csv_text(ROWS))),
    "utf-16": ("TSV (tabs, UTF-16)", lambda path: write(path, csv_text(ROWS, delimiter="\t"), "utf-16")),
    "utf-16, no bom": ("CSV (commas, UTF-16)", lambda path: write(path, csv_text(ROWS), "utf-16-be")),
    "sep=": ("CSV (semicolons, UTF-8)", lambda path: write(path, "sep=;\n" + csv_text(ROWS, delimiter=";"))),
    "empty columns": (
        "CSV (commas, UTF-8)",
        lambda path: write(path, csv_text([(*row, "", "") for row in ROWS], ("text", "label", "", ""))),
    ),
    "json lines": ("JSON Lines (UTF-8)", lambda path: write_jsonl(path, OBJECTS)),
    "json lines, bom": (
        "JSON Lines (UTF-8)",
        lambda path: write(path, BOM + "\n\n".join(json.dumps(one, ensure_ascii=False) for one in OBJECTS)),
    ),
    "json list": ("JSON (UTF-8)", lambda path: write(path, json.dumps(OBJECTS, indent=1))),
    "json data": ("JSON (UTF-8)", lambda path: write(path, json.dumps({"version": 1, "data": OBJECTS}))),
    "json columns": (
        "JSON (UTF-8)",
        lambda path: write(
            path, json.dumps({name: [one[name] for one in OBJECTS] for name in ("text", "label")})
        ),
    ),
    "parquet": ("Parquet", lambda path: _parquet(path, ROWS)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_by_content(tmp_path: Path, name: str) -> None:
    description, make = FORMATS[name]
    path = tmp_path / "data.xyz"
    make(path)
    own = read(path)
    assert own.notes[0] == f"data.xyz: {description}."
    newlines = {"crlf": "\r\n"}.get(name, "\n")
    assert [text.replace(newlines, "\n") for text in texts_of(own)] == [text for text, _ in ROWS]
    assert labels_of(own) == [label for _, label in ROWS]


def test_a_tab_separated_file_without_quoting_keeps_its_quotes(tmp_path: Path) -> None:
    rows = [
        (f'"{text}' if row % 3 else f'{text} "yes"', label) for row, (text, label) in enumerate(rows_of(30))
    ]
    own = read(
        write(tmp_path / "a.csv", "".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *rows]))
    )
    assert texts_of(own) == [text for text, _ in rows]


def test_datasets_folders_and_their_parquet_have_names_of_classes(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos", "meh"])}
    )
    values = {"text": [text for text, _ in rows_of(40)], "label": [row % 2 for row in range(39)] + [-1]}
    table = datasets.Dataset.from_dict(values, features=features)
    table.save_to_disk(tmp_path / "one")
    table.to_parquet(tmp_path / "a.parquet")
    parts = {"train": table, "validation": table.select(range(6)), "test": table.select(range(9, 16))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "parts")
    for data in ("one", "a.parquet", "parts"):
        own = read(tmp_path / data)
        # The order is the user's; no row has the third.
        assert own.labels.names == ("neg", "pos")
        assert own.first_look.rows["unlabelled"] == 1
    assert read(tmp_path / "parts").first_look.rows == {"train": 39, "dev": 6, "test": 7, "unlabelled": 1}
    assert labels_of(read(tmp_path / "one"))[:4] == ["neg", "pos", "neg", "pos"]


def test_lists_of_named_classes_are_several_labels(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "labels": datasets.List(datasets.ClassLabel(names=["joy", "fear"])),
        }
    )
    values = {
        "text": [text for text, _ in rows_of(40)],
        "labels": [[[0], [1, 0], []][row % 3] for row in range(40)],
    }
    table = datasets.Dataset.from_dict(values, features=features)
    table.to_parquet(tmp_path / "a.parquet")
    table.save_to_disk(tmp_path / "folder")
    for name in ("a.parquet", "folder"):
        own = read(tmp_path / name)
        assert (own.labels.kind, own.labels.names) == ("multi-label", ("joy", "fear"))
        assert set(own.labels.values.values()) == {(0,), (0, 1), ()}


def test_a_folder_of_split_files_and_shards(tmp_path: Path) -> None:
    rows = rows_of(90)
    (tmp_path / "d").mkdir()
    _parquet(tmp_path / "d/train-00000-of-00002.parquet", rows[:30])
    _parquet(tmp_path / "d/train-00001-of-00002.parquet", rows[30:60])
    write_csv(tmp_path / "d/my_valid.csv", rows[60:70])
    write_jsonl(tmp_path / "d/test.jsonl", [{"text": text, "label": label} for text, label in rows[70:80]])
    write(tmp_path / "d/unlabeled.txt", "".join(f"{text}\n" for text, _ in rows[80:]))
    write(tmp_path / "d/README.md", "# How train and test were made\n")
    own = read(tmp_path / "d")
    assert own.name == "d"
    assert own.first_look.rows == {"train": 60, "dev": 10, "test": 10, "unlabelled": 10}
    assert texts_of(own) == [text for text, _ in rows]


def test_a_source_of_texts_alone_is_read_for_predicting(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.txt", "first, text\n\nsecond; text\n"))
    assert (source.columns, list(source.batches(source.columns))) == (
        ("text",),
        [{"text": ["first, text", "second; text"]}],
    )
    source = open_source(write_csv(tmp_path / "a.csv", [("a, b",), ("c",)], ("text",)))
    assert list(source.batches(["text"])) == [{"text": ["a, b", "c"]}]


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@settings(max_examples=12)
@given(
    rows=st.lists(st.tuples(_CELL, _CELL, st.integers(0, 9)), min_size=3, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
)
def test_what_csv_writes_is_read_back(
    rows: list[tuple[str, str, int]], delimiter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    write(path, csv_text(rows, ("text", "other", "label"), delimiter))
    source = open_delimited(path, "utf-8", ())
    if source.columns == ("text", "other", "label"):
        batches = list(source.batches(source.columns))
        found = [
            row for batch in batches for row in zip(*(batch[name] for name in source.columns), strict=True)
        ]
        assert found == [(first, second, str(third)) for first, second, third in rows]
    else:
        # One case is left: tabs, where a quote within a field makes quoting doubtful.
        assert delimiter == "\t"
