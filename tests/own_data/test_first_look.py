"""The first look at a user's data: its figures, and what it warns of."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from own_files import read, rows_of, write_csv
from tiny import write_tiny_model

from pkd_core.own_data.token_lengths import TokenLengths, token_lengths


def test_the_table_has_rows_classes_and_lengths(tmp_path: Path) -> None:
    rows = [(" ".join(["word"] * (row % 10 + 1) + [str(row)]), "ab"[row % 2]) for row in range(100)]
    look = read(write_csv(tmp_path / "a.csv", rows)).first_look
    assert look.words == (2, 6, 11, 11)
    assert look.table == [
        ("rows", "81 train, 9 dev, 10 test"),
        ("2 classes in train", "b 41, a 40"),
        ("words of a text", "half have 6 or fewer, 95 % 11 or fewer, the longest 11"),
    ]
    assert look.warnings == []


def test_of_many_classes_the_largest_and_the_smallest_are_shown(tmp_path: Path) -> None:
    rows = [(f"text {number} {row}", f"c{number:02d}") for number in range(12) for row in range(20 + number)]
    look = read(write_csv(tmp_path / "a.csv", rows)).first_look
    (_, shown) = look.table[1]
    assert shown == "c11 25, c10 24, c08 23, ..., c00 17, c01 17"


def test_leaks_are_counted_with_an_example_and_kept(tmp_path: Path) -> None:
    rows = rows_of(60)
    write_csv(tmp_path / "d/train.csv", rows)
    write_csv(
        tmp_path / "d/dev.csv", [(text.upper(), label) for text, label in rows[:4]] + rows_of(6, seed=3)
    )
    write_csv(tmp_path / "d/test.csv", [*rows_of(6, seed=4), *rows[10:12], (rows[0][0].upper(), "buy")])
    look = read(tmp_path / "d").first_look
    assert look.rows == {"train": 60, "dev": 10, "test": 9, "unlabelled": 0}
    assert [(leak.split, leak.other, leak.num_rows, leak.example) for leak in look.leaks] == [
        ("test", "train", 3, (rows[10][0],)),
        ("test", "dev", 1, (rows[0][0].upper(),)),
        ("dev", "train", 4, (rows[0][0].upper(),)),
    ]
    assert look.warnings[0] == (
        f"3 of 9 rows of test have a text that train has too, such as {rows[10][0]!r}: scores on test may be too high. "
        "All rows were kept."
    )


def test_the_same_text_with_different_labels_is_named(tmp_path: Path) -> None:
    rows = [*rows_of(60), ("Is this it?", "buy"), ("is  this it?", "sell"), ("is this it?", "sell")]
    look = read(write_csv(tmp_path / "a.csv", rows)).first_look
    assert look.conflict is not None
    assert (look.conflict.num_texts, look.conflict.example) == (1, ("Is this it?",))
    assert "1 text with different labels, such as 'Is this it?' as buy, sell." in look.warnings
    assert sum(look.duplicates.values()) == 2


def test_a_pair_repeats_only_if_both_texts_do(tmp_path: Path) -> None:
    rows = [("the same", text, label) for text, label in rows_of(60)]
    look = read(write_csv(tmp_path / "a.csv", rows, ("text_a", "text_b", "label"))).first_look
    assert sum(look.duplicates.values()) == 0


def test_the_sample_is_of_different_rows_and_short(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv", [("x" * 20_000 + str(row), label) for row, (_, label) in enumerate(rows_of(40))]
    )
    assert {len(text) for (text,) in read(path).sample} == {10_000}
    own = read(write_csv(tmp_path / "b.csv", rows_of(3000)))
    assert len(set(own.sample)) == 2000


def test_texts_that_a_model_cuts_are_counted(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    sample = [("good film",)] * 6 + [("good bad fine poor",)] * 3 + [("the " * 30,)]
    # [CLS] and [SEP] count.
    found = token_lengths(sample, tmp_path / "model", 16)
    assert found == TokenLengths((4, 32, 32), 10, 1, 16)
    assert found.line == (
        "tokens of a text",
        "half have 4 or fewer, 95 % 32 or fewer, the longest 32; 10.0 % are cut at 16 (tokens.max_length)",
    )
    assert (
        token_lengths(sample, tmp_path / "model", 32).line[1].endswith("the longest 32; at 32, none is cut")
    )


_MEASURE = """
import resource, sys
from pathlib import Path
from own_files import read
from pkd_core.own_data.write import write_task
read(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
own = read(Path(sys.argv[2]))
write_task(own, Path(sys.argv[3]))
print(own.first_look.rows["train"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_file_of_any_size_is_read_in_little_memory(tmp_path: Path) -> None:
    write_csv(tmp_path / "small.csv", rows_of(40))
    path = tmp_path / "large.csv"
    words = " ".join(f"{'word' * 20}{number}" for number in range(60))
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        file.writelines(f"{row} {words},{'ab'[row % 2]}\n" for row in range(60_000))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path / "small.csv"), str(path), str(tmp_path / "data_raw")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2 << 30,) * 2),
    )
    num_train, growth_kb = map(int, done.stdout.split())
    assert num_train == 48_600
    assert path.stat().st_size > 280e6
    assert growth_kb < 150_000
