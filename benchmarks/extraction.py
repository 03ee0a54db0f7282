"""Time of extracting teacher states, relative to the forward pass alone on the same batches."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, compare
from benchmarks.pkd_training import Stopwatch
from benchmarks.workload import MINILM, make_model, make_table
from pkd_core.data.token_table import TokenTable, length_sorted_batches
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack
from pkd_core.teacher_states.extraction import extract

_CPU = torch.device("cpu")
_WINDOW = 1024


def measure_extraction(turns: int) -> Iterator[Row]:
    """Yield the ratios for a 6-layer teacher of MiniLM's size in float32, with states written to disk."""
    model = make_model(MINILM, MINILM.num_layers)
    for task, num_rows in (("SST-2", 8192), ("RTE", 2048)):
        table = make_table(task, num_rows)

        def extraction_seconds(table: TokenTable = table) -> float:
            with tempfile.TemporaryDirectory() as folder:
                begin = time.perf_counter()
                extract(model, table, Path(folder), "float16", Stopwatch(), device=_CPU)
                return time.perf_counter() - begin

        def forward_seconds(table: TokenTable = table) -> float:
            windows = np.split(np.arange(len(table)), range(_WINDOW, len(table), _WINDOW))
            batches = [
                pack(table, rows) for window in windows for rows in length_sorted_batches(table, 8192, window)
            ]
            begin = time.perf_counter()
            with torch.inference_mode():
                for batch in batches:
                    forward(model, batch)
            return time.perf_counter() - begin

        yield compare(
            f"{task}: extraction / forward pass alone",
            "<= 1.05",
            extraction_seconds,
            forward_seconds,
            turns,
            "s",
        )
