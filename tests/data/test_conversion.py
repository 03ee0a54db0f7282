"""A file of another format in the place of a TSV file is named, with a command that converts it."""

import csv
import json
import re
from pathlib import Path

import pytest

from pkd_core.data.conversion import conversion_hint

ROWS = [("a good, old\nfilm", "up"), ('a "bad"\tfilm', "down")]
CONVERTED = 'sentence\tlabel\na good, old film\tup\na "bad" film\tdown\n'


def write_csv(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("sentence", "label"), *ROWS])


def write_json(path: Path) -> None:
    path.write_text(
        json.dumps([{"sentence": text, "label": label} for text, label in ROWS]), encoding="utf-8"
    )


def write_lines(path: Path) -> None:
    lines = (json.dumps({"sentence": text, "label": label}) for text, label in ROWS)
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"), [("train.csv", write_csv), ("train.json", write_json), ("train.jsonl", write_lines)]
)
def test_the_command_that_is_named_converts_the_file(
    name: str, write: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(write)
    write(tmp_path / name)
    hint = conversion_hint(tmp_path / "train.tsv")
    assert hint is not None
    assert hint.startswith(f"there is {name} instead: ")
    (program,) = re.findall(r"python -c '([^']+)'$", hint)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "hint", "exec"), {})
    assert (tmp_path / "train.tsv").read_text(encoding="utf-8") == CONVERTED


def test_a_text_file_may_only_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("sentence\tlabel\n", encoding="utf-8")
    assert conversion_hint(tmp_path / "dev.tsv") == (
        "there is dev.txt instead: rename it to dev.tsv if tabs separate its columns"
    )


def test_there_is_nothing_to_convert_where_there_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("", encoding="utf-8")
    assert conversion_hint(tmp_path / "dev.tsv") is None
