"""Answers are written batch by batch, beside what each row came with, completely or not at all."""

import csv
import io
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from flows.cli.answer_lines import Form, Lines, form_of
from flows.cli.answering import answered, ending_as_by_ctrl_c, write_file, write_stream
from pkd_core.data.texts import Row, Texts, texts_of_rows
from pkd_core.errors import ConfigError, DataError
from pkd_core.evaluation.text_answers import Array, Kind


class Lengths:
    """A model whose outputs are the lengths of each text: label `even` wins where the length is even."""

    labels = ("odd", "even")

    def __init__(self, kind: Kind = "classes") -> None:
        self.kind = kind
        self.batches: list[int] = []

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        self.batches.append(len(texts))
        return np.array([[-1.0, 1.0] if len(text) % 2 == 0 else [1.0, -1.0] for (text,) in texts])


def table(rows: Iterator[Row], columns: tuple[str, ...] = ("id", "text", "label")) -> Texts:
    placed = ((f"in:{number}", row) for number, row in enumerate(rows, start=1))
    return texts_of_rows("in", columns, placed, ("text",))


def many(count: int) -> Iterator[Row]:
    return ((number, "x" * (number % 7 + 1), "gold") for number in range(count))


def written(texts: Texts, form: Form, kind: Kind = "classes") -> str:
    model, stream = Lengths(kind), io.StringIO()
    write_stream(stream, Lines(texts.columns, kind), form, answered(model, texts))
    return stream.getvalue()


def test_a_file_of_any_length_is_answered_in_small_batches(tmp_path: Path) -> None:
    model, texts = Lengths(), table(many(2500))
    output = tmp_path / "out.tsv"
    assert write_file(output, Lines(texts.columns, "classes"), Lines.tsv, answered(model, texts)) == 2500
    assert model.batches == [1024, 1024, 452]
    header, *rows = [line.split("\t") for line in output.read_text().splitlines()]
    assert header == ["id", "text", "label", "predicted_label", "predicted_probability"]
    assert rows[1500] == ["1500", "xxx", "gold", "odd", "0.8808"]
    assert [row[0] for row in rows] == [str(number) for number in range(2500)]


def test_answers_are_there_before_the_rest_is_read() -> None:
    stream = io.StringIO()
    seen: list[int] = []

    def rows() -> Iterator[Row]:
        for row in many(2000):
            if row[0] == 1500:
                seen.append(stream.getvalue().count("\n"))
            yield row

    texts = table(rows())
    write_stream(stream, Lines(texts.columns, "classes"), Lines.tsv, answered(Lengths(), texts))
    assert seen == [1 + 1024]


def stop(_: int) -> str:
    raise KeyboardInterrupt


def terminate(_: int) -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return "x"


@pytest.mark.parametrize(
    ("text_of_last_row", "error"),
    [(lambda _: None, DataError), (stop, KeyboardInterrupt), (terminate, KeyboardInterrupt)],
)
def test_a_file_that_is_not_finished_leaves_nothing_and_the_earlier_one(
    text_of_last_row: Callable[[int], str], error: type[BaseException], tmp_path: Path
) -> None:
    output = tmp_path / "out.tsv"
    output.write_text("earlier")
    last = ((2000, text_of_last_row(2000), "") for _ in range(1))
    texts = table(itertools.chain(many(2000), last))
    with pytest.raises(error), ending_as_by_ctrl_c():
        write_file(output, Lines(texts.columns, "classes"), Lines.tsv, answered(Lengths(), texts))
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv"]
    assert output.read_text() == "earlier"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_who_reads_may_have_enough() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    texts = table(many(5000))
    with os.fdopen(writer, "w") as stream:
        write_stream(stream, Lines(texts.columns, "classes"), Lines.tsv, answered(Lengths(), texts))


ODD_ROWS = [(7, 'a\t"b"\nc', None), (0.25, "dd", ["x", {"y": True}])]


def test_tsv_has_one_line_for_each_row() -> None:
    assert written(table(iter(ODD_ROWS)), Lines.tsv).splitlines()[1:] == [
        '7\ta "b" c\t\todd\t0.8808',
        '0.25\tdd\t["x", {"y": true}]\teven\t0.8808',
    ]


def test_csv_keeps_line_ends_and_quotes() -> None:
    _, first, second = csv.reader(io.StringIO(written(table(iter(ODD_ROWS)), Lines.csv)))
    assert first == ["7", 'a\t"b"\nc', "", "odd", "0.8808"]
    assert second[2:] == ['["x", {"y": true}]', "even", "0.8808"]


def test_json_keeps_every_type() -> None:
    first, second = map(json.loads, written(table(iter(ODD_ROWS)), Lines.json).splitlines())
    assert list(first) == ["id", "text", "label", "predicted_label", "predicted_probability"]
    assert (first["id"], first["text"], first["label"]) == (7, 'a\t"b"\nc', None)
    assert (second["id"], second["label"]) == (0.25, ["x", {"y": True}])
    assert second["predicted_probability"] == pytest.approx(0.880797, abs=1e-6)


def test_several_labels_are_a_list_with_every_probability_in_json() -> None:
    texts = table(iter([("aa",)]), ("text",))
    answer = json.loads(written(texts, Lines.json, "multi-label"))
    assert answer["labels"] == ["even"]
    assert answer["probabilities"] == pytest.approx({"odd": 0.268941, "even": 0.731059}, abs=1e-6)
    texts = table(iter([("aa",)]), ("text",))
    assert written(texts, Lines.tsv, "multi-label") == "text\tlabels\tprobabilities\naa\teven\t0.7311\n"


def test_a_score_is_one_column() -> None:
    texts = table(iter([("aa", "x")]), ("text", "score"))
    assert written(texts, Lines.tsv, "regression") == "text\tscore\tpredicted_score\naa\tx\t-1.0000\n"


def test_the_name_of_the_output_says_its_format() -> None:
    assert form_of(Path("a.CSV"), as_json=False) is Lines.csv
    assert form_of(Path("a.jsonl"), as_json=False) is Lines.json
    assert form_of(Path("a.tsv"), as_json=False) is form_of(None, as_json=False) is Lines.tsv
    assert form_of(Path("a.tsv"), as_json=True) is Lines.json
    with pytest.raises(ConfigError, match=r"ends in one of \.json, \.jsonl, .*, got a\.xlsx"):
        form_of(Path("a.xlsx"), as_json=False)
