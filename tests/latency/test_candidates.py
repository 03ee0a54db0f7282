"""The depth that a latency budget allows, chosen from measured times."""

from pathlib import Path

import pytest

from pkd_core.errors import ConfigError
from pkd_core.latency.candidates import (
    Candidates,
    choose_depth,
    read_candidates,
    student_name,
    write_candidates,
)
from pkd_core.latency.result import Format, LatencyResult, LatencyRow


def row(name: str, p99_ms: float, format: Format = "onnx-int8") -> LatencyRow:
    return LatencyRow(name, format, p99_ms / 2, p99_ms, p99_ms, 9 * p99_ms, 500.0, 300, 9, 10**7)


def candidates(
    p99_ms: dict[int, float], teacher: float | None = None, format: Format = "onnx-int8"
) -> Candidates:
    rows = [row(student_name(depth), value, format) for depth, value in p99_ms.items()]
    rows += [] if teacher is None else [row("teacher", teacher, format)]
    return Candidates(tuple(p99_ms), format, 128, LatencyResult(tuple(rows), "a machine", 1, 32, 1.0))


@pytest.mark.parametrize(
    ("budget", "expected"), [(3.0, 2), (2.99, 1), (4.99, 2), (5.0, 3), (7.0, 3), (1.0, 1)]
)
def test_the_deepest_student_whose_p99_fits_is_chosen(budget: float, expected: int) -> None:
    measured = candidates({1: 1.0, 2: 3.0, 3: 5.0}, teacher=9.0)
    choice = choose_depth(measured, budget)
    assert (choice.num_layers, choice.row) == (expected, measured.student(expected))
    assert choice.teacher is None


def test_a_choice_says_what_it_costs() -> None:
    choice = choose_depth(candidates({1: 1.0, 2: 3.0}, teacher=9.0), 4)
    assert choice.sentence == (
        "2 layers: the deepest student within 4 ms, with a p99 of 3.00 ms in onnx-int8."
    )


def test_a_teacher_that_fits_itself_is_named() -> None:
    choice = choose_depth(candidates({1: 1.0, 2: 3.0}, teacher=4.5), 4.5)
    assert choice.teacher == row("teacher", 4.5)
    assert "The teacher itself fits too, with a p99 of 4.50 ms in the same format" in choice.sentence


@pytest.mark.parametrize(("format", "has_hint"), [("onnx-int8", False), ("onnx-float32", True)])
def test_a_budget_that_nothing_fits_is_refused_with_what_would_help(format: Format, has_hint: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_depth(candidates({1: 1.25, 2: 3.0}, format=format), 0.5)
    text = str(caught.value)
    assert text.startswith("a latency of 0.5 ms needs a student with a p99 of at most that")
    assert "of 1 layer, has 1.25 ms in " + format in text
    assert "tokens.max_length is 128" in text
    assert "narrower --student-model" in text
    assert ("deploy int8" in text) is has_hint


def test_candidates_are_read_as_they_were_written(tmp_path: Path) -> None:
    measured = candidates({1: 1.0, 4: 3.0}, teacher=9.0)
    write_candidates(tmp_path, measured)
    assert read_candidates(tmp_path) == measured
    assert measured.teacher == row("teacher", 9.0)
    assert candidates({1: 1.0}).teacher is None
