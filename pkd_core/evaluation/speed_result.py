"""How much faster a student is than its teacher, as it was measured: one result for a depth, a task and a machine."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "speed.json"


@dataclass(frozen=True)
class Speed:
    """The times of teacher and student over the same texts of the dev split; all times are medians.

    Attributes:
        ratio: How many times faster the student is: median of the rounds' ratios of the batch's times.
        low: Lower end of the 95 % confidence interval of that median.
        high: Upper end.
        rounds: How many rounds were counted.
        batch_size: Texts of the batch.
        length: Tokens of each text, with padding.
        teacher_batch_ms: The teacher's time for the batch, in milliseconds.
        student_batch_ms: The student's.
        teacher_text_ms: The teacher's time for a single text: its latency in a server.
        student_text_ms: The student's.
        machine: Model of the processor or the GPU.
        threads: CPU threads that torch computed with.
    """

    ratio: float
    low: float
    high: float
    rounds: int
    batch_size: int
    length: int
    teacher_batch_ms: float
    student_batch_ms: float
    teacher_text_ms: float
    student_text_ms: float
    machine: str
    threads: int

    @property
    def where(self) -> str:
        """The machine and its threads, such as "AMD EPYC 7B13, 1 CPU thread"."""
        return f"{self.machine}, {self.threads} CPU thread{'s' if self.threads > 1 else ''}"

    @property
    def spread(self) -> float:
        """How far the interval reaches from the ratio, on its wider side."""
        return max(self.high - self.ratio, self.ratio - self.low)


def write_speed(folder: Path, speed: Speed) -> None:
    """Write `speed.json` into a folder."""
    (folder / _FILE).write_text(json.dumps(asdict(speed), indent=2) + "\n", encoding="utf-8")


def read_speed(folder: Path) -> Speed:
    """Read a published measurement.

    Raises:
        TypeError: If the file has other keys than `write_speed` writes.
    """
    return Speed(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
