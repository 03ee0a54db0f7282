"""What stages took is kept as lines, and read again without those that are damaged."""

from dataclasses import replace
from pathlib import Path

from pkd_core.store.durations import Duration, append_duration, read_durations

ONE = Duration("teacher", "a processor", 4, 768, 1000.0, 12.5)


def test_durations_are_read_in_the_order_in_which_they_were_recorded(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    other = replace(ONE, threads=None, seconds=3.0)
    for duration in (ONE, other):
        append_duration(tmp_path, duration)
    assert read_durations(tmp_path) == [ONE, other]


def test_lines_that_are_no_duration_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    append_duration(tmp_path, ONE)
    path = tmp_path / "artifacts" / "durations.jsonl"
    line = path.read_text(encoding="utf-8")
    bad = [
        "{",
        "[]",
        '{"kind": 1}',
        "\xff",
        "[" * 100_000,
        line.replace("1000.0", "0"),
        line[:30],
        line.replace("12.5", '"x"'),
    ]
    path.write_text("\n".join([*bad, line]), encoding="latin-1")
    assert read_durations(tmp_path) == [ONE]


def test_a_record_that_cannot_be_written_or_read_does_no_harm(tmp_path: Path) -> None:
    append_duration(tmp_path / "absent", ONE)
    assert read_durations(tmp_path / "absent") == []
    assert list(tmp_path.iterdir()) == []
