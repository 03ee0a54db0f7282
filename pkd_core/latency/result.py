"""How long models take for the user's texts, as it was measured: one result for a task and a machine."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

_FILE = "latency.json"
# Wall time over CPU time, from which on the machine is called busy.
_BUSY = 1.2

Format = Literal["torch-float32", "onnx-float32", "onnx-int8"]


@dataclass(frozen=True)
class LatencyRow:
    """The times of one model in one format, tokenising included.

    Attributes:
        model: Name of the model's stage, such as "teacher" or "kd-3l-s42".
        format: Type of its weights, and what computes with them.
        p50_ms: Median of the time for a single text, in milliseconds: CPU time of one thread, or, if the measurement
            has several, wall time.
        p99_ms: The time that 99 of 100 single texts take at most; the long texts decide it.
        wall_p50_ms: The median of the wall time, which is longer where other programs compute too.
        wall_p99_ms: The wall time that 99 of 100 single texts take at most.
        texts_per_second: Throughput in batches of texts sorted by length, by the same clock as `p50_ms`.
        num_calls: How many single texts were timed.
        num_batches: How many batches were timed.
        size_bytes: Size of the file of weights.
    """

    model: str
    format: Format
    p50_ms: float
    p99_ms: float
    wall_p50_ms: float
    wall_p99_ms: float
    texts_per_second: float
    num_calls: int
    num_batches: int
    size_bytes: int


@dataclass(frozen=True)
class LatencyResult:
    """The times of several models, measured in turns, text by text, so that they can be compared.

    Attributes:
        rows: One for each model and format.
        machine: Model of the processor.
        threads: CPU threads of each model.
        batch_size: Texts of a batch.
        wall_over_cpu: Wall time of all calls over their CPU time; 1 on a machine that does nothing else.
    """

    rows: tuple[LatencyRow, ...]
    machine: str
    threads: int
    batch_size: int
    wall_over_cpu: float

    @property
    def busy(self) -> bool:
        """Whether other programs kept the models waiting: wall times are then much longer than they need be."""
        return self.wall_over_cpu >= _BUSY

    @property
    def where(self) -> str:
        """The machine and its threads, such as "AMD EPYC 7B13, 1 CPU thread"."""
        return f"{self.machine}, {self.threads} CPU thread{'s' if self.threads > 1 else ''}"

    def row(self, model: str, format: Format) -> LatencyRow | None:
        """Return the row of a model in a format; None if it was not measured."""
        return next((row for row in self.rows if (row.model, row.format) == (model, format)), None)


def write_latency(folder: Path, result: LatencyResult) -> None:
    """Write `latency.json` into a folder."""
    (folder / _FILE).write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def read_latency(folder: Path) -> LatencyResult:
    """Read a published measurement.

    Raises:
        TypeError: If the file has other keys than `write_latency` writes.
    """
    return latency_of(json.loads((folder / _FILE).read_text(encoding="utf-8")))


def latency_of(values: dict[str, Any]) -> LatencyResult:
    """Return a result from its JSON values.

    Raises:
        TypeError: If there are other keys than those of a result.
    """
    return LatencyResult(**values | {"rows": tuple(LatencyRow(**row) for row in values["rows"])})
