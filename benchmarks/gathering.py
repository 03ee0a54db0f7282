"""Teacher states of MNLI's size, 7.2 GB: a shuffled batch over a student's step, and the memory that reading takes."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, compare
from benchmarks.ours import step_seconds
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
    """Yield the rows of reading teacher states; needs 7.3 GB of disk for as long as it runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        student, table = make_model(BERT_BASE, 6), make_table("MRPC", _BATCH_SIZE * 16)
        begin = _resident_bytes()
        states = TeacherStates.open(folder)
        order = torch.from_numpy(np.random.default_rng(0).permutation(_NUM_ROWS))
        batches = iter(order.split(_BATCH_SIZE) * 2)  # type: ignore[no-untyped-call]
        precision = resolve_precision("auto", _CPU)

        def gather() -> float:
            start = time.perf_counter()
            for _ in range(_NUM_BATCHES):
                states.gather(next(batches), _LAYERS)
            return (time.perf_counter() - start) / _NUM_BATCHES

        gather()
        grown = (_resident_bytes() - begin) / 1e9
        yield Row("MNLI's states: GB of memory for 200 batches", (grown,), "<= 0.1")
        yield compare(
            "MNLI's states: a shuffled batch / a step of BERT-base's 6-layer student",
            "<= 0.03",
            gather,
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
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found, "Linux says it there"
    return 1024 * int(found[1])
