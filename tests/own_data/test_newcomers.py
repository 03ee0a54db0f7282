"""What newcomers do wrong with their data, and the sentence that each gets: what was needed, got, and is to be done."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from own_files import csv_text, read, refused, rows_of, write, write_csv, write_jsonl

ROWS = rows_of(60)
TEXTS = [text for text, _ in ROWS]


def test_a_wrong_column_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS, ("message", "category"))
    refused(
        {"texts": ("mesage",)},
        path,
        "no column 'mesage'; its columns are message, category: the nearest is 'message'",
    )
    refused(
        {"label": ("x",)}, path, "has no column 'x'; its columns are message, category: give one of these"
    )
    refused(
        {"texts": ("message",), "label": ("message",)},
        path,
        "each column is text, label or split, got message, m",
    )


def test_a_wrong_file_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    write_csv(tmp_path / "tickets.csv", ROWS)
    refused({}, tmp_path / "ticket.csv", "there is no file .*ticket.csv; the nearest is tickets.csv")
    write_csv(tmp_path / "ticket2.csv", ROWS)
    refused({}, tmp_path / "ticket.csv", "there is no file .*; the nearest are tickets.csv, ticket2.csv")
    refused(
        {},
        Path("https://a.org/b.csv"),
        "no file https:/a.org/b.csv, which looks like an address; download it",
    )
    refused({}, tmp_path / "nowhere.parquet", r"there is no file .*nowhere.parquet \(in .*\); check its name")


def test_labels_written_as_floats_are_classes(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "a.csv", [(text, float(row % 2)) for row, text in enumerate(TEXTS)]))
    assert own.labels.names == ("0", "1")
    assert "2 classes with numbers for names: 0, 1; --kind regression reads scores." in own.notes


def test_ratings_are_classes_unless_scores_are_asked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [(text, row % 5 + 1) for row, text in enumerate(TEXTS)])
    assert read(path).labels.names == ("1", "2", "3", "4", "5")
    scores = read(path, kind="regression")
    assert (scores.labels.range, scores.labels.names) == ((1.0, 5.0), ())
    assert "Scores from 1 to 5, as --kind says." in scores.notes


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            lambda row: "spam",
            "expected at least two classes, got 'spam' in every row; add rows of another class",
        ),
        (
            lambda row: f"ticket {row}",
            r"classes that come again and again, got 60 different labels in 60 rows",
        ),
        (
            lambda row: f"a|{row}",
            r"got 60 different .* such as 'a\|0'; give --label-separator '\|', or name the right",
        ),
        (lambda row: "", "expected labels, got none in any row; name their column with --label"),
    ],
    ids=["one class", "each row its own", "several in one", "none"],
)
def test_labels_that_leave_nothing_to_learn(
    tmp_path: Path, labels: Callable[[int], str], message: str
) -> None:
    refused(
        {}, write_csv(tmp_path / "a.csv", [(text, labels(row)) for row, text in enumerate(TEXTS)]), message
    )


def test_no_dev_and_no_test_are_cut_and_said(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "a.csv", rows_of(200)))
    assert own.first_look.rows == {"train": 162, "dev": 18, "test": 20, "unlabelled": 0}
    assert own.notes[-2:] == (
        "20 rows were taken out of train as test, for final scores (seed 0).",
        "18 rows were taken out of train as dev, for choosing models (seed 0).",
    )


def test_too_few_rows(tmp_path: Path) -> None:
    refused(
        {},
        write_csv(tmp_path / "a.csv", ROWS[:12]),
        "at least 20 different texts with labels, .*, got 12; add rows",
    )


def test_empty_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "a.csv", [*ROWS, ("", "buy"), ("  \t", "sell")]))
    assert sum(own.first_look.rows.values()) == 60
    assert "Left out: 2 rows without text." in own.first_look.warnings


def test_excels_semicolons_and_windows_letters(tmp_path: Path) -> None:
    rows = [(f"Où est ma carte n° {row} ?", label) for row, (_, label) in enumerate(ROWS)]
    text = csv_text(rows, ("Texte", "Étiquette"), ";").replace("\n", "\r\n")
    own = read(write(tmp_path / "a.csv", text, "cp1252"), texts=("Texte",), label=("Étiquette",))
    assert "a.csv: CSV (semicolons, Windows-1252)." in own.notes
    assert any(
        "not UTF-8 and was read as Windows-1252 (line 1: 'Texte;Étiquette')" in note for note in own.notes
    )
    assert ("Où est ma carte n° 7 ?",) in own.sample


def test_a_header_that_is_data(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "a.csv", ROWS, None))
    assert sum(own.first_look.rows.values()) == 60
    assert (own.texts, own.label) == (("column1",), "column2")
    assert any(note.startswith("The first line of a.csv is data, not a header (") for note in own.notes)


def test_a_header_without_data(tmp_path: Path) -> None:
    refused(
        {}, write(tmp_path / "a.csv", "text,label\n"), "expected rows below the header, got none; add some"
    )
    refused(
        {}, write(tmp_path / "b.csv", " \n\n"), "expected rows of data, got an empty file; give another one"
    )


def test_texts_with_commas_that_nothing_quotes(tmp_path: Path) -> None:
    lines = [f"{text},{label}" for text, label in ROWS]
    lines[30] = f"please, {lines[30]}"
    message = (
        r"a.csv:32: expected 2 fields, as the first line has, got 3: please, .*; enclose texts that hold"
    )
    refused({}, write(tmp_path / "a.csv", "text,label\n" + "\n".join(lines)), message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"where is it,buy', "a quote that does not end"),
        ('"so "good" it is",buy', "a quote inside a quoted text"),
    ],
)
def test_quotes_that_are_not_whole(tmp_path: Path, line: str, message: str) -> None:
    lines = csv_text(ROWS).splitlines()
    lines[20] = line
    refused(
        {}, write(tmp_path / "a.csv", "\n".join(lines) + "\n"), f"a.csv:21: expected fields .*, got {message}"
    )


def test_json_of_nested_fields(tmp_path: Path) -> None:
    nested = [{"id": row, "data": {"text": text, "intent": label}} for row, (text, label) in enumerate(ROWS)]
    own = read(write_jsonl(tmp_path / "a.jsonl", nested))
    assert (own.texts, own.label) == (("data.text",), "data.intent")
    objects = [{"text": text, "label": [{"name": label}]} for text, label in ROWS]
    refused(
        {},
        write_jsonl(tmp_path / "b.jsonl", objects),
        "row 1: expected a text or a number as label, got {'name'",
    )
    lists = [{"text": [text], "label": label} for text, label in ROWS]
    refused(
        {"texts": ("text",)},
        write_jsonl(tmp_path / "c.jsonl", lists),
        r"row 1: expected a text, got \['.*--text",
    )


def test_json_of_another_shape(tmp_path: Path) -> None:
    splits = {"train": [list(row) for row in ROWS], "test": [list(row) for row in ROWS]}
    message = r"expected a list of objects such as .*, got an object with train, test; save its rows as such"
    refused({}, write(tmp_path / "a.json", json.dumps(splits)), message)
    broken = (
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS) + '{"text": "a\n'
    )
    refused(
        {},
        write(tmp_path / "b.jsonl", broken),
        r"b.jsonl:61: expected a JSON object on each line, got one that",
    )


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"PK\x03\x04rest", "got an Excel workbook or a zip; save the sheet as CSV, or unpack the zip"),
        (gzip.compress(b"text,label\n", mtime=0), "got a gzip file; unpack it with gunzip"),
        (b"<!doctype html><html>", "got a web page; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "got a pointer of Git LFS; fetch the file itself"),
        (
            bytes(range(256)) * 20,
            "expected a text file, Parquet or a folder of datasets, got bytes that are no text",
        ),
        (b"PAR1 but no more", "expected a Parquet file, got one that cannot be read"),
    ],
)
def test_files_of_other_programs(tmp_path: Path, start: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(start)
    refused({}, tmp_path / "a.csv", message)


def test_one_broken_letter_in_utf_8(tmp_path: Path) -> None:
    content = csv_text([(f"é {text}", label) for text, label in ROWS]).encode()
    (tmp_path / "a.csv").write_bytes(content + b"caf\xe9,buy\n")
    refused(
        {},
        tmp_path / "a.csv",
        r"a.csv:62: expected UTF-8, as the lines before it are, got the byte b'\\xe9'; fix",
    )
    refused({"encoding": "utf8x"}, tmp_path / "a.csv", "there is no encoding 'utf8x'; give one such as utf-8")
    assert read(tmp_path / "a.csv", encoding="latin-1").first_look.rows["train"] == 49


def test_a_class_that_only_the_test_file_has(tmp_path: Path) -> None:
    write_csv(tmp_path / "d/train.csv", ROWS)
    write_csv(tmp_path / "d/test.csv", [*rows_of(9, seed=5), ("good bye", "leave")])
    refused(
        {},
        tmp_path / "d",
        "expected every label of test in train too, got leave in test alone; add such rows",
    )


def test_a_test_file_without_labels_is_not_scored(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "d/train.csv", [(row, *pair) for row, pair in enumerate(ROWS)], ("id", "text", "target")
    )
    write_csv(tmp_path / "d/test.csv", [(1, "a new text")], ("id", "text"))
    own = read(tmp_path / "d")
    assert own.first_look.rows == {"train": 48, "dev": 6, "test": 6, "unlabelled": 0}
    assert any(
        note.startswith("test.csv has no labels, so nothing can be scored on it") for note in own.notes
    )
    assert "Other columns are not used: id." in own.notes


def test_files_without_the_names_of_splits(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / "d" / name, ROWS)
    refused(
        {}, tmp_path / "d", r"expected files named train, .*, got a.csv, b.csv; rename them, or give one file"
    )
    for name in ("train.csv", "train.jsonl"):
        write_csv(tmp_path / "e" / name, ROWS)
    refused(
        {}, tmp_path / "e", "one file for the train split, got train.csv, train.jsonl; move the others away"
    )


def test_two_ways_of_naming_a_split(tmp_path: Path) -> None:
    write_csv(tmp_path / "d/train.csv", ROWS)
    other = write_csv(tmp_path / "d/test.csv", rows_of(9, seed=5))
    refused({"test": other}, tmp_path / "d", "has a test split, and --test names another; give one of them")


def test_texts_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n".join(TEXTS))
    refused(
        {},
        path,
        r"has texts and no labels \(its columns are text\); .* give these texts as --unlabelled beside a",
    )


def test_columns_that_nothing_tells_apart(tmp_path: Path) -> None:
    rows = [(text, f"{text} again", label, label) for text, label in ROWS]
    refused(
        {},
        write_csv(tmp_path / "a.csv", rows, ("a", "b", "c", "d")),
        r"which of its columns holds the texts \(a, b, c",
    )
    rows = [(text, label, label) for text, label in ROWS]
    refused(
        {},
        write_csv(tmp_path / "b.csv", rows, ("text", "c", "d")),
        r"which of its columns is the label \(text, c, d\)",
    )


@pytest.mark.parametrize(("name", "given"), [("RTE", None), ("a", "RTE"), ("a", "Logs")])
def test_names_that_pkd_uses(tmp_path: Path, name: str, given: str | None) -> None:
    path = write_csv(tmp_path / f"{name}.csv", ROWS)
    refused(
        {"name": given},
        path,
        f"{given or name} is a name that pkd uses itself; give your data another .* --name",
    )
