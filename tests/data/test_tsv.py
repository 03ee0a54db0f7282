"""The TSV reader keeps every character of a valid file; every fault is a DataError with its line."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pkd_core.data.glue import GLUE_TASKS, Split, Task
from pkd_core.data.tsv import BadLine, Example, read_examples
from pkd_core.errors import DataError

ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
RTE = GLUE_TASKS["RTE"]
RTE_DEV, RTE_TEST = RTE.split("dev"), RTE.split("test")
RTE_HEADER = b"index\tsentence1\tsentence2\tlabel\n"

# Anything but the separators of fields and lines, and NUL.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\0"))


def read(path: Path, content: bytes, task: Task = RTE, split: Split = RTE_DEV) -> list[Example]:
    path.write_bytes(content)
    return list(read_examples(path, task, split))


def error_of(path: Path, content: bytes, task: Task = RTE, split: Split = RTE_DEV) -> str:
    with pytest.raises(DataError) as caught:
        read(path, content, task, split)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


@ONE_FILE
@given(
    rows=st.lists(st.tuples(texts, texts, st.integers(0, 1)), min_size=1, max_size=8),
    bom=st.booleans(),
    crlf=st.booleans(),
    last_end=st.booleans(),
)
def test_texts_are_read_as_they_were_written(
    tmp_path: Path, rows: list[tuple[str, str, int]], bom: bool, crlf: bool, last_end: bool
) -> None:
    lines = ["index\tsentence1\tsentence2\tlabel"]
    lines += [f"{n}\t{first}\t{second}\t{RTE.labels[label]}" for n, (first, second, label) in enumerate(rows)]
    end = "\r\n" if crlf else "\n"
    content = end.join(lines) + (end if last_end else "")
    examples = read(tmp_path / "dev.tsv", b"\xef\xbb\xbf" * bom + content.encode())
    assert examples == [Example(n, (first, second), label) for n, (first, second, label) in enumerate(rows)]


@ONE_FILE
@given(content=st.binary(max_size=200))
@example(b"a\t1\t\tb\n")
def test_arbitrary_bytes_raise_only_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.tsv"
    for name in ("CoLA", "STS-B", "QQP"):
        try:
            read(path, content, GLUE_TASKS[name], GLUE_TASKS[name].train_split)
        except DataError as error:
            assert re.match(rf"{re.escape(str(path))}:\d+: expected .*, got ", str(error))


@ONE_FILE
@given(
    lines=st.lists(st.lists(texts | st.sampled_from(["entailment", "0"]), max_size=6), max_size=5),
)
def test_malformed_lines_raise_only_a_data_error_with_the_first_one(
    tmp_path: Path, lines: list[list[str]]
) -> None:
    content = RTE_HEADER + b"".join("\t".join(fields).encode() + b"\n" for fields in lines)
    first_bad = next(
        (n for n, fields in enumerate(lines) if len(fields) != 4 or fields[3] != "entailment"), None
    )
    if lines and first_bad is None:
        assert len(read(tmp_path / "dev.tsv", content)) == len(lines)
    else:
        message = error_of(tmp_path / "dev.tsv", content)
        assert message.startswith(f"{first_bad + 2 if first_bad is not None else 1}: expected ")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"0\ta\tb\n", "2: expected 4 fields, got 3"),
        (b"0\ta\tb\tentailment\textra\n", "2: expected 4 fields, got 5"),
        (b"0\ta\tb\tentailment\n\n", "3: expected 4 fields, got an empty line"),
        (
            b"0\ta\tb\tentailment\n1\ta\tb\tneutral\n",
            "3: expected a label out of entailment, not_entailment, got",
        ),
        (b"0\ta\tb\tEntailment\n", "2: expected a label"),
        (b"0\ta\tb\tentailment \n", "2: expected a label"),
        (b"0\ta\0\tb\tentailment\n", "2: expected text, got a NUL byte at byte 4"),
        (b"0\ta\xff\tb\tentailment\n", "2: expected UTF-8, got 0xff at byte 4"),
        (b"0\t" + b"a" * (1 << 20) + b"\tb\tentailment\n", "2: expected a line of at most 1048576 bytes"),
        (b"", "1: expected at least one example below, got none"),
    ],
)
def test_each_fault_is_reported_with_its_line(tmp_path: Path, lines: bytes, message: str) -> None:
    assert error_of(tmp_path / "dev.tsv", RTE_HEADER + lines).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1: expected a header with the column 'sentence1' for the dev split, got ''"),
        (b"index\tsentence1\tlabel\n", "1: expected a header with the column 'sentence2'"),
        (b"sentence1\tsentence2\tlabel\tlabel\n", "1: expected a header with the column 'label' for the dev"),
        (b"\xff\xfe", "1: expected UTF-8, got 0xff at byte 1"),
    ],
)
def test_a_header_without_the_columns_is_reported_at_line_one(
    tmp_path: Path, content: bytes, message: str
) -> None:
    assert error_of(tmp_path / "dev.tsv", content).startswith(message)


def test_the_longest_permitted_line_is_read(tmp_path: Path) -> None:
    text = "a" * ((1 << 20) - len("0\t\tb\tentailment\n"))
    assert read(tmp_path / "dev.tsv", RTE_HEADER + f"0\t{text}\tb\tentailment\n".encode())[0].texts == (
        text,
        "b",
    )


def test_quotes_and_unicode_line_separators_are_characters(tmp_path: Path) -> None:
    first, second = 'He said " no', "a\u2028b\x85c\x0bd\re"
    content = RTE_HEADER + f"0\t{first}\t{second}\tentailment\n".encode()
    assert read(tmp_path / "dev.tsv", content) == [Example(0, (first, second), 0)]


def test_test_examples_are_numbered_by_the_index_column(tmp_path: Path) -> None:
    content = b"index\tsentence1\tsentence2\n7\ta\tb\n3\tc\td\n"
    assert read(tmp_path / "test.tsv", content, split=RTE_TEST) == [
        Example(7, ("a", "b"), None),
        Example(3, ("c", "d"), None),
    ]


@pytest.mark.parametrize("index", ["", "-1", "1.0", "1_0", " 1", "٣", "9" * 19])
def test_an_index_must_be_a_whole_number(tmp_path: Path, index: str) -> None:
    content = f"index\tsentence1\tsentence2\n{index}\ta\tb\n".encode()
    assert error_of(tmp_path / "t", content, split=RTE_TEST).startswith("2: expected a whole number")


def test_a_repeated_index_is_an_error(tmp_path: Path) -> None:
    content = b"index\tsentence1\tsentence2\n7\ta\tb\n7\tc\td\n"
    assert error_of(tmp_path / "t", content, split=RTE_TEST).startswith(
        "3: expected every index once, got 7 again"
    )


def test_cola_is_read_by_position(tmp_path: Path) -> None:
    task = GLUE_TASKS["CoLA"]
    content = b"gj04\t1\t\tThey sang.\nks08\t0\t*\tThey sang it up.\n"
    assert read(tmp_path / "train.tsv", content, task, task.train_split) == [
        Example(0, ("They sang.",), 1),
        Example(1, ("They sang it up.",), 0),
    ]
    narrow = error_of(tmp_path / "train.tsv", b"gj04\t1\tThey sang.\n", task, task.train_split)
    assert narrow.startswith("1: expected at least 4 fields, got 3")


@pytest.mark.parametrize("score", ["", "nan", "inf", "-0.1", "5.01", "1_0", "٣", "1e999", "four"])
def test_a_score_must_be_a_number_in_the_range(tmp_path: Path, score: str) -> None:
    task = GLUE_TASKS["STS-B"]
    content = f"sentence1\tsentence2\tscore\na\tb\t{score}\n".encode()
    assert error_of(tmp_path / "t", content, task, task.train_split).startswith(
        "2: expected a score from 0.0 to 5.0"
    )


def test_scores_are_floats(tmp_path: Path) -> None:
    task = GLUE_TASKS["STS-B"]
    content = b"sentence1\tsentence2\tscore\na\tb\t0\na\tb\t3.800\na\tb\t5\n"
    assert [e.label for e in read(tmp_path / "t", content, task, task.train_split)] == [0.0, 3.8, 5.0]


def qqp(num_bad: int) -> bytes:
    good = "{0}\t1\t2\tq {0}\tr {0}\t1\n"
    bad = "{0}\t1\t2\tthe rest of q {0}\n"
    return ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n" + good.format(0)).encode() + "".join(
        bad.format(n) + good.format(n) for n in range(1, num_bad + 1)
    ).encode()


def test_qqp_s_malformed_lines_are_skipped_and_listed_without_a_gap_in_the_ids(tmp_path: Path) -> None:
    task = GLUE_TASKS["QQP"]
    path = tmp_path / "train.tsv"
    path.write_bytes(qqp(2))
    bad_lines: list[BadLine] = []
    examples = list(read_examples(path, task, task.train_split, bad_lines))
    assert [(e.example_id, e.texts[0]) for e in examples] == [(0, "q 0"), (1, "q 1"), (2, "q 2")]
    assert bad_lines == [BadLine(3, "expected 6 fields, got 4"), BadLine(5, "expected 6 fields, got 4")]


def test_at_most_64_malformed_lines_of_qqp_are_skipped(tmp_path: Path) -> None:
    task = GLUE_TASKS["QQP"]
    assert len(read(tmp_path / "train.tsv", qqp(64), task, task.train_split)) == 65
    message = error_of(tmp_path / "train.tsv", qqp(65), task, task.train_split)
    assert message.startswith("131: expected 6 fields, got 4 after 64 bad lines that were skipped")


def test_a_malformed_line_of_an_unlabelled_file_is_never_skipped(tmp_path: Path) -> None:
    task = GLUE_TASKS["QQP"]
    content = b"id\tquestion1\tquestion2\n0\ta\tb\n1\ta\n"
    assert error_of(tmp_path / "t", content, task, task.split("test")).startswith(
        "3: expected 3 fields, got 2"
    )


def test_invalid_bytes_are_an_error_even_where_malformed_lines_are_skipped(tmp_path: Path) -> None:
    task = GLUE_TASKS["QQP"]
    assert error_of(tmp_path / "t", qqp(1) + b"\xff\n", task, task.train_split).startswith(
        "5: expected UTF-8"
    )


@pytest.mark.parametrize("make_folder", [False, True])
def test_a_file_that_cannot_be_opened_is_a_data_error(tmp_path: Path, make_folder: bool) -> None:
    path = tmp_path / "dev.tsv"
    if make_folder:
        path.mkdir()
    with pytest.raises(DataError, match="expected a readable file, got"):
        list(read_examples(path, RTE, RTE_DEV))


def test_examples_are_yielded_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_bytes(RTE_HEADER + b"0\ta\tb\tentailment\n" + b"bad\n")
    examples = read_examples(path, RTE, RTE_DEV)
    assert next(examples).texts == ("a", "b")
    with pytest.raises(DataError):
        next(examples)
