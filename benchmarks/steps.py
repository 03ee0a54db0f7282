"""Training steps: distillation against fine-tuning, alternatives against pkd, and pkd against a matrix product."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.baselines import authors_seconds, textbrewer_seconds
from benchmarks.measure import Row, compare
from benchmarks.pkd_training import make_objective, step_seconds
from benchmarks.workload import MINILM, make_model, make_table, training_operations
from pkd_core.runtime.precision import resolve_precision

_NUM_ROWS = 32 * 40
_STUDENT_LAYERS = 3
_TARGETS = {"SST-2": (">= 15", ">= 8"), "RTE": (">= 4", ">= 6")}
_CPU = torch.device("cpu")


def measure_steps(turns: int) -> Iterator[Row]:
    """Yield the ratios for a 3-layer student of MiniLM's size with batches of 32."""
    precision = resolve_precision("auto", _CPU)
    for task, (authors_target, library_target) in _TARGETS.items():
        table = make_table(task, _NUM_ROWS)
        student, teacher = make_model(MINILM, _STUDENT_LAYERS), make_model(MINILM, MINILM.num_layers)
        with tempfile.TemporaryDirectory() as name:
            objective = make_objective(Path(name) / "states", MINILM, _STUDENT_LAYERS, table, _CPU)
            pkd = partial(step_seconds, student, table, objective, precision, _CPU)
            fine_tuning = partial(step_seconds, student, table, None, precision, _CPU)
            yield compare(f"{task}: PKD step / fine-tuning step", "<= 1.03", pkd, fine_tuning, turns)
            authors = partial(authors_seconds, student, table, objective, 8)
            yield compare(f"{task}: authors' recipe / pkd", authors_target, authors, pkd, turns)
            library = partial(
                textbrewer_seconds, student, teacher, table, objective, 8, Path(name) / "textbrewer"
            )
            yield compare(f"{task}: textbrewer with its teacher / pkd", library_target, library, pkd, turns)
        operations = training_operations(MINILM, _STUDENT_LAYERS, table, 32)
        for kind in ("bfloat16", "float32"):
            dtype = getattr(torch, kind)
            ratios, rates = [], []
            for _ in range(turns):
                rate = operations / step_seconds(student, table, None, kind, _CPU)
                rates.append(rate)
                ratios.append(rate / product_rate(dtype))
            target = ">= 0.5" if (task, kind) == ("RTE", "bfloat16") else ""
            detail = f"{statistics.median(rates) / 1e9:.0f} GFLOP/s"
            yield Row(f"{task}: {kind} arithmetic / matrix product", tuple(ratios), target, detail)


def product_rate(dtype: torch.dtype, device: torch.device = _CPU, size: int = 2048) -> float:
    """Return the floating-point operations per second of a square matrix product, the best of several."""
    matrix = torch.randn(size, size, device=device).to(dtype)
    seconds = []
    for _ in range(8):
        begin = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return float(2.0 * size**3 / min(seconds))
