"""Lines of a stream, of which those that are there are read without waiting."""

import io
import os

import pytest

from pkd_core.data.arriving_lines import ArrivingLines
from pkd_core.data.texts import texts_of_lines

LIMIT = 1 << 20


def test_what_is_there_is_read_without_waiting_for_more() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        lines = ArrivingLines(stream)
        assert lines.may_wait
        os.write(writer, b"one\ntwo\nthr")
        assert lines.readline(LIMIT) == b"one\n"
        assert not lines.may_wait
        assert lines.readline(LIMIT) == b"two\n"
        assert lines.may_wait
        os.write(writer, b"ee\n\nfour")
        assert [lines.readline(LIMIT) for _ in range(2)] == [b"three\n", b"\n"]
        os.close(writer)
        assert [lines.readline(LIMIT) for _ in range(3)] == [b"four", b"", b""]


LONG = b"x" * 200_000 + b"\ny\n" + b"z\n" * 90_000


@pytest.mark.parametrize("content", [b"", b"a", b"a\n", b"\n\n", b"a\r\nb\n", LONG])
def test_the_lines_are_those_of_a_file(content: bytes) -> None:
    lines = ArrivingLines(io.BytesIO(content))
    assert list(iter(lambda: lines.readline(LIMIT), b"")) == io.BytesIO(content).readlines()


def test_a_line_without_an_end_is_not_read_on_for_ever() -> None:
    stream = io.BytesIO(b"x" * 5_000_000)
    assert len(ArrivingLines(stream).readline(LIMIT)) >= LIMIT
    assert stream.tell() < 2 * LIMIT


def test_examples_are_taken_as_they_come() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a\nb\nc\n")
    with os.fdopen(reader, "rb") as stream:
        texts = texts_of_lines(stream, "stream", ("text",))
        assert texts.take(2) == [("a",), ("b",)]
        assert texts.take(2) == [("c",)]
        os.write(writer, b"d\n")
        assert texts.take(2) == [("d",)]
        os.close(writer)
        assert texts.take(2) == []
