"""Texts to be predicted are read from files of every format, with what else each row holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_files import write, write_csv, write_jsonl

from pkd_core.data.texts import Row
from pkd_core.errors import DataError
from pkd_core.own_data.texts import FileOfTexts

ONE, TWO = ("sentence",), ("premise", "hypothesis")


def rows_of(
    path: Path, of_model: tuple[str, ...] | None, **more: Any
) -> tuple[list[Row], list[tuple[str, ...]]]:
    """Return all rows with their columns first, and the texts of each."""
    texts, _ = FileOfTexts(path, **more).read(of_model)
    rows = list(texts.rows)
    return [texts.columns, *rows], texts.of(rows)


def parquet(path: Path) -> Path:
    pq.write_table(pa.table({"id": [7, 8], "sentence": ["a; b", "c"], "more": [[1], None]}), path)
    return path


FORMATS: dict[str, tuple[Callable[[Path], Path], list[Row]]] = {
    "csv": (
        lambda path: write_csv(path, [(7, "a; b"), (8, "c")], ("id", "sentence")),
        [("7", "a; b"), ("8", "c")],
    ),
    "excel": (
        lambda path: write(path, 'id;sentence\r\n7;"a; b"\r\n8;c\r\n', "cp1252"),
        [("7", "a; b"), ("8", "c")],
    ),
    "tsv": (lambda path: write(path, "id\tsentence\n7\ta; b\n8\tc\n"), [("7", "a; b"), ("8", "c")]),
    "jsonl": (
        lambda path: write_jsonl(path, [{"id": 7, "sentence": "a; b"}, {"sentence": "c", "more": True}]),
        [(7, "a; b", None), (None, "c", True)],
    ),
    "json": (lambda path: write(path, '[{"sentence": "a; b"}, {"sentence": "c"}]'), [("a; b",), ("c",)]),
    "parquet": (parquet, [(7, "a; b", [1]), (8, "c", None)]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_its_texts_and_its_other_columns(name: str, tmp_path: Path) -> None:
    make, expected = FORMATS[name]
    (columns, *rows), texts = rows_of(make(tmp_path / "in.data"), ONE)
    assert "sentence" in columns
    assert rows == expected
    assert texts == [("a; b",), ("c",)]


def test_plain_lines_are_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.txt", "a film, and more\nanother\n")
    texts, notes = FileOfTexts(path).read(ONE)
    assert texts.of(list(texts.rows)) == [("a film, and more",), ("another",)]
    assert notes == ("lines.txt has one text on each line, and no header.",)


def test_pairs_come_in_the_models_order(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "in.csv", [("h", 1, "p")], ("hypothesis", "id", "premise"))
    assert rows_of(path, TWO)[1] == [("p", "h")]


def test_the_user_may_name_the_columns(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "in.csv", [("a", "b", "c")], ("x", "y", "z"))
    assert rows_of(path, ONE, columns=("y",))[1] == [("b",)]
    assert rows_of(path, None, columns=("z", "x"))[1] == [("c", "a")]
    with pytest.raises(
        DataError, match=r"the model reads 1 text \(sentence\), got 2 columns \(x, y\); name as many"
    ):
        rows_of(path, ONE, columns=("x", "y"))


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        (("id", "Review", "label"), ("b",)),
        (("question1", "id", "question2"), ("a", "c")),
        (("text", "id", "x"), ("a",)),
    ],
)
def test_without_a_task_the_columns_are_guessed_by_name_and_said(
    header: tuple[str, ...], texts: tuple[str, ...], tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "in.csv", ["abc"[: len(header)], "def"[: len(header)]], header)
    read, notes = FileOfTexts(path).read(None)
    assert read.of(list(read.rows))[0] == texts
    assert notes[-1].startswith("Texts: '")
    assert notes[-1].endswith("(guessed by name; --texts names others).")


def test_the_only_column_may_have_any_name(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", '{"anything": "a"}\n{"anything": "b"}\n')
    assert rows_of(path, ONE)[1] == rows_of(path, None)[1] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("content", "of_model", "message"),
    [
        (
            '{"id": 1, "text": "a"}\n{"id": 2}\n',
            ONE,
            r"expected the column 'sentence', got id, text; name the col",
        ),
        (
            '{"id": 1, "sentence": "a"}\n{"id": 2}\n',
            ONE,
            "row 2: expected a text in the column 'sentence', got none",
        ),
        (
            '{"sentence": "a", "x": 1}\n{"sentence": 3}\n',
            ONE,
            "row 2: expected a text in the column 'sentence', got 3",
        ),
        ("id,sentence\n1,a\n2, \n", ONE, "row 2: expected a text in the column 'sentence', got an empty one"),
        (
            "id,x\n1,a\n",
            None,
            "in: expected a column of texts, got id, x; name the columns of texts with --texts",
        ),
        ("id,sentence\n", ONE, "in: expected at least one text, got none"),
        ("id,sentence\n1,a\n2\n", ONE, "in:3: expected 2 fields"),
    ],
)
def test_what_does_not_fit_is_named_with_its_row(
    content: str, of_model: tuple[str, ...] | None, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "in", content)
    with pytest.raises(DataError, match=message):
        rows_of(path, of_model)


def test_rows_are_read_when_they_are_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", '{"text": "a"}\n' * 10_000 + '{"text": null}\n')
    texts, _ = FileOfTexts(path).read(None)
    for _ in range(10_000):
        next(texts.rows)
    with pytest.raises(DataError, match="row 10001: expected a text in the column 'text', got none"):
        next(texts.rows)
