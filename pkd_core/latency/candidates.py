"""Students of several depths, timed before any is trained, and the deepest of them that a budget allows."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pkd_core.errors import ConfigError
from pkd_core.latency.result import Format, LatencyResult, LatencyRow, latency_of

TEACHER = "teacher"
_FILE = "candidates.json"


@dataclass(frozen=True)
class Candidates:
    """The times of untrained students: those of trained ones are the same.

    Attributes:
        depths: Numbers of layers, rising.
        format: The format that was timed, in which the student is to be deployed.
        max_length: Most tokens of an example.
        latency: A row for each depth, named by `student_name`, and one named "teacher" if that was timed.
    """

    depths: tuple[int, ...]
    format: Format
    max_length: int
    latency: LatencyResult

    def student(self, num_layers: int) -> LatencyRow:
        """Return the row of a depth that was timed."""
        row = self.latency.row(student_name(num_layers), self.format)
        assert row is not None, num_layers
        return row

    @property
    def teacher(self) -> LatencyRow | None:
        """The teacher's row in the same format; None if it was not timed."""
        return self.latency.row(TEACHER, self.format)


@dataclass(frozen=True)
class Choice:
    """The deepest student that fits a latency budget.

    Attributes:
        num_layers: Its depth.
        row: Its times.
        budget_ms: The budget, in milliseconds.
        teacher: The teacher's times in the same format, if it fits too: then no student is needed for this budget.
    """

    num_layers: int
    row: LatencyRow
    budget_ms: float
    teacher: LatencyRow | None

    @property
    def sentence(self) -> str:
        """What was chosen, and whether the teacher would do."""
        chosen = (
            f"{_layers(self.num_layers)}: the deepest student within {self.budget_ms:g} ms, with a p99 of "
            f"{self.row.p99_ms:.2f} ms in {self.row.format}."
        )
        if self.teacher is None:
            return chosen
        return (
            f"{chosen} The teacher itself fits too, with a p99 of {self.teacher.p99_ms:.2f} ms in the same format: for "
            "this budget it need not be distilled, only exported."
        )


def student_name(num_layers: int) -> str:
    """Return the name of a depth's row.

    >>> student_name(3)
    'student-3l'
    """
    return f"student-{num_layers}l"


def choose_depth(candidates: Candidates, budget_ms: float) -> Choice:
    """Return the deepest student of which 99 of 100 texts take no more than the budget.

    Args:
        candidates: The measured times; another budget needs no other ones.
        budget_ms: Most milliseconds for a text, tokenising included.

    Raises:
        ConfigError: None fits.
    """
    fitting = [depth for depth in candidates.depths if candidates.student(depth).p99_ms <= budget_ms]
    if not fitting:
        raise ConfigError(_none_fits(candidates, budget_ms))
    teacher = candidates.teacher
    return Choice(
        num_layers=max(fitting),
        row=candidates.student(max(fitting)),
        budget_ms=budget_ms,
        teacher=teacher if teacher is not None and teacher.p99_ms <= budget_ms else None,
    )


def _none_fits(candidates: Candidates, budget_ms: float) -> str:
    shallowest = min(candidates.depths)
    helps = [] if candidates.format == "onnx-int8" else ["deploy int8"]
    helps += [
        f"keep fewer tokens of a text (tokens.max_length is {candidates.max_length})",
        "choose a narrower --student-model",
    ]
    return (
        f"a latency of {budget_ms:g} ms needs a student with a p99 of at most that, and the shallowest one, of "
        f"{_layers(shallowest)}, has {candidates.student(shallowest).p99_ms:.2f} ms in {candidates.format} on this "
        f"machine; allow more, {', or '.join(helps)}."
    )


def _layers(number: int) -> str:
    return f"{number} layer{'s' if number > 1 else ''}"


def write_candidates(folder: Path, candidates: Candidates) -> None:
    """Write `candidates.json` into a folder."""
    (folder / _FILE).write_text(json.dumps(asdict(candidates), indent=2) + "\n", encoding="utf-8")


def read_candidates(folder: Path) -> Candidates:
    """Read published candidates.

    Raises:
        TypeError: If the file has other keys than `write_candidates` writes.
    """
    values = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    latency = latency_of(values.pop("latency"))
    return Candidates(tuple(values.pop("depths")), latency=latency, **values)
