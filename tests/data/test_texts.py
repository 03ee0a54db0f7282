"""Texts to be predicted: what is typed, lines of a stream, and TSV files, with one sentence for what does not fit."""

import io
from pathlib import Path

import pytest

from pkd_core.data.texts import Texts, texts_of_arguments, texts_of_file, texts_of_lines, texts_of_rows
from pkd_core.errors import DataError

ONE, TWO = ("sentence",), ("premise", "hypothesis")


def examples_of(texts: Texts) -> list[tuple[str, ...]]:
    return texts.of(list(texts.rows))


def file_of(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "in.tsv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("arguments", "columns", "examples"),
    [
        (["a b", "c"], ONE, [("a b",), ("c",)]),
        (["a", "b", "c", "d"], TWO, [("a", "b"), ("c", "d")]),
        (["a\tb", "c\td"], TWO, [("a", "b"), ("c", "d")]),
        (["a", "b"], None, [("a",), ("b",)]),
        (["a\tb"], None, [("a", "b")]),
    ],
)
def test_arguments_are_one_text_each_and_pairs_where_the_task_has_pairs(
    arguments: list[str], columns: tuple[str, ...] | None, examples: list[tuple[str, ...]]
) -> None:
    texts = texts_of_arguments(arguments, columns)
    assert examples_of(texts) == examples
    unknown = ("text",) if len(examples[0]) == 1 else ("text_a", "text_b")
    assert texts.columns == (columns or unknown)


def test_a_file_keeps_its_other_columns(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"id\thypothesis\tpremise\n7\th\tp\n8\tx\ty\n")
    texts = texts_of_file(path, TWO)
    assert (texts.columns, texts.positions) == (("id", "hypothesis", "premise"), (2, 1))
    rows = list(texts.rows)
    assert rows == [("7", "h", "p"), ("8", "x", "y")]
    assert texts.of(rows) == [("p", "h"), ("y", "x")]


@pytest.mark.parametrize(
    ("content", "examples"),
    [
        (b"review\na b\n", [("a b",)]),
        (b"one\ttwo\na\tb\n", [("a", "b")]),
        (b"id\ttext\tx\n1\ta\tb\n", [("a",)]),
        (b"text_b\tid\ttext_a\nb\t1\ta\n", [("a", "b")]),
    ],
)
def test_for_a_model_without_a_task_a_files_columns_are_the_texts(
    content: bytes, examples: list[tuple[str, ...]], tmp_path: Path
) -> None:
    assert examples_of(texts_of_file(file_of(tmp_path, content), None)) == examples


def test_a_stream_has_one_example_a_line() -> None:
    texts = texts_of_lines(io.BytesIO("\ufeffa é\nb\r\n".encode()), "standard input", ONE)
    assert examples_of(texts) == [("a é",), ("b",)]


@pytest.mark.parametrize(
    ("arguments", "columns", "message"),
    [
        (["a", "b", "c"], TWO, r"two texts for each example \(premise and hypothesis\), got 3; give the other one"),
        (["a\tb\tc", "d\te"], TWO, "text 1: expected two texts, with a tab between them, got 3: a, b, c"),
        (["a", "b\tc"], ONE, "text 2: expected one text, got 2: b, c"),
        (["a", "b\tc"], None, "text 2: expected one text, got 2"),
        (["a", " "], ONE, "text 2: expected a text, got an empty one; fill it in, or remove the row"),
    ],
)  # fmt: skip
def test_typed_texts_that_do_not_fit_are_named(
    arguments: list[str], columns: tuple[str, ...] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        examples_of(texts_of_arguments(arguments, columns))


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (b"", ONE, "in.tsv:1: expected a header with the column 'sentence' once, got ''"),
        (b"review\na\n", ONE, "in.tsv:1: expected a header with the column 'sentence' once, got 'review'"),
        (b"sentence\tsentence\na\tb\n", ONE, "'sentence' once, got"),
        (b"a\tb\tc\n1\t2\t3\n", None, r"the column 'text' once, got 'a\\tb\\tc'; name the columns so"),
        (b"sentence\n", ONE, "in.tsv:1: expected at least one text, got none; add some"),
        (b"id\tsentence\n1\ta\n2\n", ONE, "in.tsv:3: expected 2 fields, got 1"),
        (
            b"id\tsentence\n1\t \n",
            ONE,
            "in.tsv:2: expected a text in the column 'sentence', got an empty one",
        ),
        (b"sentence\ncaf\xe9\n", ONE, "in.tsv:2: expected UTF-8, got 0xe9 at byte 4"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_line(
    content: bytes, columns: tuple[str, ...] | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        examples_of(texts_of_file(file_of(tmp_path, content), columns))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected at least one text, got none"),
        (b"a\n\n", "standard input:2: expected a text, got an empty one"),
        (b"a\n\xff\n", "standard input:2: expected UTF-8"),
    ],
)
def test_a_stream_that_does_not_fit_is_named_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        examples_of(texts_of_lines(io.BytesIO(content), "standard input", ONE))


def test_rows_are_read_when_they_are_wanted(tmp_path: Path) -> None:
    texts = texts_of_file(file_of(tmp_path, b"id\tsentence\n1\ta\n2\tb\n3\t\n"), ONE)
    assert [next(texts.rows), next(texts.rows)] == [("1", "a"), ("2", "b")]
    with pytest.raises(
        DataError, match=r"in\.tsv:4: expected a text in the column 'sentence', got an empty one"
    ):
        next(texts.rows)


def test_a_row_of_another_format_may_hold_anything_but_its_texts_are_texts() -> None:
    rows = [("rows 1", (7, "a", None)), ("row 2", ([1], None, 0.5))]
    texts = texts_of_rows("in.parquet", ("id", "sentence", "more"), rows, ONE)
    assert next(texts.rows) == (7, "a", None)
    with pytest.raises(
        DataError, match="row 2: expected a text in the column 'sentence', got none; fill it in, or"
    ):
        next(texts.rows)
