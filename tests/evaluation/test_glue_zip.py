"""The zip for the GLUE server: eleven files with the right names, each with a line for each line of its test file."""

import zipfile
from pathlib import Path

import pytest

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import DataError
from pkd_core.evaluation.glue_zip import (
    TestFile,
    check_predictions,
    constant_predictions,
    glue_files,
    write_glue_zip,
)

# As https://gluebenchmark.com/faq lists them.
NAMES = {
    "AX.tsv", "CoLA.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "MRPC.tsv", "QNLI.tsv", "QQP.tsv", "RTE.tsv", "SST-2.tsv",
    "STS-B.tsv", "WNLI.tsv",
}  # fmt: skip


def file_named(name: str) -> TestFile:
    (found,) = (file for file in glue_files() if file.name == name)
    return found


@pytest.fixture
def data_raw(tmp_path: Path) -> Path:
    """RTE with three test lines, numbered from 7, and STS-B with two."""
    for name, header, train, test in (
        ("RTE", "index\tsentence1\tsentence2", ["0\ta\tb\tentailment", "1\ta\tc\tnot_entailment",
         "2\ta\td\tnot_entailment"], ["7\ta\tb", "8\ta\tc", "9\tb\tc"]),
        ("STS-B", "index\tsentence1\tsentence2", ["0\ta\tb\t1.0", "1\ta\tc\t4.0"], ["0\ta\tb", "1\tb\tc"]),
    ):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        label = "label" if name == "RTE" else "score"
        (folder / "train.tsv").write_text("\n".join([f"{header}\t{label}", *train]) + "\n", encoding="utf-8")
        (folder / "test.tsv").write_text("\n".join([header, *test]) + "\n", encoding="utf-8")
    return tmp_path


def test_the_files_are_the_servers_eleven() -> None:
    assert {file.name for file in glue_files()} == NAMES
    assert file_named("AX.tsv").task is GLUE_TASKS["MNLI"]


def test_a_constant_answer_is_the_most_frequent_label_or_the_mean_score(data_raw: Path) -> None:
    rte = constant_predictions(file_named("RTE.tsv"), data_raw)
    assert rte == "index\tprediction\n7\tnot_entailment\n8\tnot_entailment\n9\tnot_entailment\n"
    assert constant_predictions(file_named("STS-B.tsv"), data_raw).splitlines()[1:] == [
        "0\t2.500",
        "1\t2.500",
    ]
    check_predictions(rte, file_named("RTE.tsv"), data_raw)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["7\tentailment", "8\tentailment"], "needs a header and 3 lines"),
        (["7\tentailment", "8\tentailment", "8\tentailment"], r"RTE\.tsv:4: expected index 9"),
        (["7\tentailment", "8\tyes", "9\tentailment"], r"RTE\.tsv:3: expected index 8 and a prediction"),
    ],
    ids=["a line less", "an index twice", "another label"],
)
def test_predictions_that_do_not_fit_the_test_file_are_refused(
    lines: list[str], message: str, data_raw: Path
) -> None:
    text = "\n".join(["index\tprediction", *lines]) + "\n"
    with pytest.raises(DataError, match=message):
        check_predictions(text, file_named("RTE.tsv"), data_raw)


@pytest.mark.parametrize("answer", ["5.1", "-0.1", "nan", "many"])
def test_a_score_out_of_its_range_is_refused(answer: str, data_raw: Path) -> None:
    with pytest.raises(DataError, match=r"STS-B\.tsv:3"):
        check_predictions(f"index\tprediction\n0\t1.0\n1\t{answer}\n", file_named("STS-B.tsv"), data_raw)


def test_the_zip_has_every_file_and_equal_bytes_for_equal_answers(tmp_path: Path) -> None:
    contents = {name: f"index\tprediction\n0\t{name}\n" for name in NAMES}
    for name in ("one.zip", "two.zip"):
        write_glue_zip(tmp_path / name, contents)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == contents
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_zip_without_all_eleven_files_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"takes eleven files, .*; got others for AX\.tsv"):
        write_glue_zip(tmp_path / "new.zip", dict.fromkeys(NAMES - {"AX.tsv"}, ""))
    assert list(tmp_path.iterdir()) == []
