"""Time and memory of gathering shuffled batches from teacher states of MNLI's size (7.2 GB)."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, compare
from benchmarks.pkd_training import step_seconds
from benchmarks.workload import BERT_BASE, make_model, make_table
from pkd_core.runtime.precision import resolve_precision
from pkd_core.teacher_states.format import StatesShape
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.teacher_states.writer import StatesWriter

_NUM_ROWS = 392_702
_BATCH_SIZE = 32
_LAYERS = (2, 4, 6, 8, 10)
_NUM_BATCHES = 200
_CPU = torch.device("cpu")


def measure_gathering(turns: int) -> Iterator[Row]:
    """Yield the memory, and the time relative to a step of the student; needs 7.3 GB of disk space meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        student, table = make_model(BERT_BASE, 6), make_table("MRPC", _BATCH_SIZE * 16)
        bytes_before = _resident_bytes()
        states = TeacherStates.open(folder)
        order = torch.from_numpy(np.random.default_rng(0).permutation(_NUM_ROWS))
        batches = iter(order.split(_BATCH_SIZE) * 2)  # type: ignore[no-untyped-call]
        precision = resolve_precision("auto", _CPU)

        def gather_seconds() -> float:
            start = time.perf_counter()
            for _ in range(_NUM_BATCHES):
                states.gather(next(batches), _LAYERS)
            return (time.perf_counter() - start) / _NUM_BATCHES

        gather_seconds()
        gigabytes = (_resident_bytes() - bytes_before) / 1e9
        yield Row("MNLI's states: GB of memory for gathering 200 batches", (gigabytes,), "<= 0.1")
        yield compare(
            "MNLI's states: gathering a batch / student step",
            "<= 0.03",
            gather_seconds,
            lambda: step_seconds(student, table, None, precision, _CPU),
            turns,
        )


def _write(folder: Path) -> None:
    generator = np.random.default_rng(0)
    shape = StatesShape(BERT_BASE.num_layers, BERT_BASE.hidden_size, 3, "float16")
    states = generator.standard_normal((1024, shape.num_layers, shape.hidden_size), np.float32)
    logits = generator.standard_normal((1024, 3), np.float32)
    with StatesWriter(folder, shape, _NUM_ROWS) as writer:
        while writer.rows_done < _NUM_ROWS:
            ids = np.arange(writer.rows_done, min(writer.rows_done + 1024, _NUM_ROWS))
            writer.write(ids, logits[: len(ids)], states[: len(ids)])


def _resident_bytes() -> int:
    match = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert match, "Linux lists VmRSS in /proc/self/status"
    return 1024 * int(match[1])
