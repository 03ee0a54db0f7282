"""BERT-base on a GPU: steps, extraction, model FLOPs utilisation, and the projected time for all of GLUE."""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, markdown_table
from benchmarks.pkd_training import Stopwatch, make_objective, step_seconds
from benchmarks.sharing import measure_sharing
from benchmarks.steps import product_rate
from benchmarks.workload import BERT_BASE, make_model, make_table, training_operations
from pkd_core.runtime.device import find_device
from pkd_core.runtime.process_setup import configure_process
from pkd_core.teacher_states.extraction import extract

_STUDENT_LAYERS = 6
_EPOCHS = 4
_BATCH_SIZE = 32
# Rows of each train split, and the measured task with similar lengths.
_GLUE: Mapping[str, tuple[int, str]] = {
    "CoLA": (8551, "SST-2"),
    "SST-2": (67349, "SST-2"),
    "MRPC": (3667, "MRPC"),
    "STS-B": (5749, "MRPC"),
    "QQP": (363849, "MRPC"),
    "MNLI": (392702, "MRPC"),
    "QNLI": (104743, "MRPC"),
    "RTE": (2490, "RTE"),
    "WNLI": (635, "MRPC"),
}


def main() -> None:
    """Measure and print the table; without a GPU, exit with one sentence."""
    if not torch.cuda.is_available():
        sys.exit(
            "bench-gpu needs a CUDA device, and torch finds none on this machine; run `make bench` instead."
        )
    device = find_device("cuda")
    configure_process()
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}", flush=True)
    rows: list[Row] = []
    seconds: dict[str, tuple[float, float, float]] = {}
    for task in ("SST-2", "MRPC", "RTE"):
        table = make_table(task, _BATCH_SIZE * 100)
        teacher, student = make_model(BERT_BASE, BERT_BASE.num_layers), make_model(BERT_BASE, _STUDENT_LAYERS)
        teacher_step = step_seconds(teacher, table, None, "bfloat16", device)
        with tempfile.TemporaryDirectory() as name:
            begin = time.perf_counter()
            extract(teacher, table, Path(name) / "timed", "float16", Stopwatch(), device=device)
            extraction = (time.perf_counter() - begin) / len(table)
            objective = make_objective(Path(name) / "states", BERT_BASE, _STUDENT_LAYERS, table, device)
            student_step = step_seconds(student, table, objective, "bfloat16", device)
            bare_step = step_seconds(student, table, None, "bfloat16", device)
        seconds[task] = (teacher_step, extraction, student_step)
        operations = training_operations(BERT_BASE, BERT_BASE.num_layers, table, _BATCH_SIZE)
        utilisation = operations / teacher_step / product_rate(torch.bfloat16, device, 8192)
        rows.append(Row(f"{task}: teacher's step in ms", (1000 * teacher_step,)))
        rows.append(Row(f"{task}: PKD step / fine-tuning step", (student_step / bare_step,), "<= 1.03"))
        rows.append(Row(f"{task}: model FLOPs utilisation of teacher training", (utilisation,), ">= 0.4"))
    rows += measure_sharing(3, "cuda", BERT_BASE, _STUDENT_LAYERS)
    minutes = {task: _minutes(num_rows, *seconds[measured]) for task, (num_rows, measured) in _GLUE.items()}
    rows.append(
        Row(
            "all of GLUE (teacher, states and a 6-layer student per task): minutes",
            (sum(minutes.values()),),
            "<= 10",
        )
    )
    print(markdown_table(rows))
    print("minutes by task: " + ", ".join(f"{task} {value:.1f}" for task, value in minutes.items()))


def _minutes(num_rows: int, teacher_step: float, extraction: float, student_step: float) -> float:
    num_steps = _EPOCHS * np.ceil(num_rows / _BATCH_SIZE)
    return float((num_steps * (teacher_step + student_step) + num_rows * extraction) / 60)


if __name__ == "__main__":
    main()
