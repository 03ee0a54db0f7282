"""Time and memory at one, two and four times the data: time doubles, memory stays the same."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.measure import Row
from benchmarks.pkd_training import Stopwatch, make_objective, step_seconds
from benchmarks.workload import MINILM, first_rows, make_model, make_table
from pkd_core.runtime.precision import resolve_precision
from pkd_core.runtime.process_setup import configure_process
from pkd_core.teacher_states.extraction import extract

_CPU = torch.device("cpu")
_NUM_ROWS = 32 * 40
_TASK = "MRPC"


def measure_scaling(turns: int) -> Iterator[Row]:
    """Yield the ratios for extraction and one epoch of distillation, each size in a separate process."""
    figures: dict[int, list[dict[str, float]]] = {1: [], 2: [], 4: []}
    for _ in range(max(turns // 2, 1)):
        for factor, measured in figures.items():
            command = [sys.executable, "-m", "benchmarks.scaling", str(factor)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            measured.append(json.loads(done.stdout))
    for part in ("extraction", "training"):
        for factor in (2, 4):
            ratios = tuple(
                large[part] / small[part]
                for large, small in zip(figures[factor], figures[factor // 2], strict=True)
            )
            detail = f"{figures[factor][0][part]:.1f} s / {figures[factor // 2][0][part]:.1f} s"
            yield Row(f"{part}: time at {factor}x / at {factor // 2}x the data", ratios, "<= 2.1", detail)
    memory = tuple(
        large["memory"] / small["memory"] for large, small in zip(figures[4], figures[1], strict=True)
    )
    detail = f"{figures[4][0]['memory']:.2f} GB / {figures[1][0]['memory']:.2f} GB"
    yield Row("highest memory at 4x / at 1x the data", memory, "<= 1.1", detail)


def _figures(factor: int) -> dict[str, float]:
    import resource

    table = make_table(_TASK, _NUM_ROWS * factor)
    model, student = make_model(MINILM, MINILM.num_layers), make_model(MINILM, 3)
    precision = resolve_precision("auto", _CPU)
    with tempfile.TemporaryDirectory() as name:
        # The CPU's matrix library prepares each new shape once: do that before the clock starts.
        warmup = make_objective(Path(name) / "warmup", MINILM, 3, first_rows(table, _NUM_ROWS), _CPU)
        step_seconds(student, first_rows(table, _NUM_ROWS), warmup, precision, _CPU)
        begin = time.perf_counter()
        extract(model, table, Path(name) / "timed", "float16", Stopwatch(), device=_CPU)
        extracted = time.perf_counter()
        objective = make_objective(Path(name) / "states", MINILM, 3, table, _CPU)
        trained = time.perf_counter()
        step_seconds(student, table, objective, precision, _CPU)
        end = time.perf_counter()
    return {
        "extraction": extracted - begin,
        "training": end - trained,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


if __name__ == "__main__":
    configure_process()
    print(json.dumps(_figures(int(sys.argv[1]))))
