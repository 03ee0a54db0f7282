"""Texts to be predicted: what is typed, lines of a stream, rows of tables; one sentence for what does not fit."""

import io

import pytest

from pkd_core.data.texts import Texts, texts_of_arguments, texts_of_lines, texts_of_rows
from pkd_core.errors import DataError

ONE, TWO = ("sentence",), ("premise", "hypothesis")


def examples_of(texts: Texts) -> list[tuple[str, ...]]:
    return texts.of(list(texts.rows))


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


def test_a_row_of_another_format_may_hold_anything_but_its_texts_are_texts() -> None:
    rows = [("rows 1", (7, "a", None)), ("row 2", ([1], None, 0.5))]
    texts = texts_of_rows("in.parquet", ("id", "sentence", "more"), rows, ONE)
    assert next(texts.rows) == (7, "a", None)
    with pytest.raises(
        DataError, match="row 2: expected a text in the column 'sentence', got none; fill it in, or"
    ):
        next(texts.rows)
