"""Extraction of teacher states over the bare forward pass on the same batches."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, compare
from benchmarks.ours import Stopwatch
from benchmarks.workload import MINILM, make_model, make_table
from pkd_core.data.token_table import TokenTable, length_sorted_batches
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack
from pkd_core.teacher_states.extraction import extract

_CPU = torch.device("cpu")
_WINDOW = 1024


def measure_extraction(turns: int) -> Iterator[Row]:
    """Yield row (c): a 6-layer teacher of MiniLM's size, float32, states to disk."""
    model = make_model(MINILM, MINILM.num_layers)
    for task, num_rows in (("SST-2", 8192), ("RTE", 2048)):
        table = make_table(task, num_rows)

        def to_disk(table: TokenTable = table) -> float:
            with tempfile.TemporaryDirectory() as folder:
                begin = time.perf_counter()
                extract(model, table, Path(folder), "float16", Stopwatch(), device=_CPU)
                return time.perf_counter() - begin

        def bare(table: TokenTable = table) -> float:
            windows = np.split(np.arange(len(table)), range(_WINDOW, len(table), _WINDOW))
            batches = [
                pack(table, rows) for window in windows for rows in length_sorted_batches(table, 8192, window)
            ]
            begin = time.perf_counter()
            with torch.inference_mode():
                for batch in batches:
                    forward(model, batch)
            return time.perf_counter() - begin

        yield compare(f"{task}: extraction / bare packed forward", "<= 1.05", to_disk, bare, turns, "s")
