"""BERT-base on a GPU: steps, utilisation, what a user would write instead, and the projected time for all of GLUE."""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import BertForSequenceClassification

from benchmarks.glue_sizes import GLUE_SIZES
from benchmarks.gpu_profile import profile_teacher
from benchmarks.gpu_steps import step_seconds, transformers_seconds
from benchmarks.measure import Row, compare, markdown_table
from benchmarks.pkd_training import Stopwatch, make_objective
from benchmarks.steps import product_rate
from benchmarks.workload import BERT_BASE, make_model, make_table, training_operations
from pkd_core.data.token_table import TokenTable
from pkd_core.runtime.device import find_device
from pkd_core.runtime.process_setup import configure_process
from pkd_core.teacher_states.extraction import extract
from pkd_core.training.objective import Objective

_STUDENT_LAYERS = 6
_EPOCHS = 4
_BATCH_SIZE = 32
_TURNS = 3


@dataclass(frozen=True)
class Seconds:
    """What a task's stages take: a teacher's step, an example's extraction, a student's step."""

    teacher_step: float
    extraction: float
    student_step: float


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
    seconds: dict[str, Seconds] = {}
    for task in ("SST-2", "MRPC", "RTE"):
        seconds[task], measured = _measure(task, device)
        rows += measured
    rows += _alternatives(device)
    minutes = {task: _minutes(size.train, seconds[size.like]) for task, size in GLUE_SIZES.items()}
    name = "all of GLUE (teacher, states and a 6-layer student per task): minutes"
    rows.append(Row(name, (sum(minutes.values()),), "<= 10"))
    print(markdown_table(rows))
    print("minutes by task: " + ", ".join(f"{task} {value:.1f}" for task, value in minutes.items()))
    print("\n".join(profile_teacher("MRPC", device)))


def _model(num_layers: int, device: torch.device) -> BertForSequenceClassification:
    model = make_model(BERT_BASE, num_layers)
    torch.nn.Module.to(model, device)
    return model


def _step(num_layers: int, table: TokenTable, objective: Objective | None, device: torch.device) -> float:
    return step_seconds(_model(num_layers, device), table, objective, device)


def _measure(task: str, device: torch.device) -> tuple[Seconds, list[Row]]:
    """Measure a task's stages, and the ratios that have a target."""
    table = make_table(task, _BATCH_SIZE * 100)
    rate = product_rate(torch.bfloat16, device, 8192)
    teacher_steps = [_step(BERT_BASE.num_layers, table, None, device) for _ in range(_TURNS)]
    with tempfile.TemporaryDirectory() as name:
        # Its first extraction warms up, and the second is timed.
        objective = make_objective(Path(name) / "states", BERT_BASE, _STUDENT_LAYERS, table, device)
        teacher = _model(BERT_BASE.num_layers, device)
        begin = time.perf_counter()
        extract(teacher, table, Path(name) / "timed", "float16", Stopwatch(), device=device)
        extraction = (time.perf_counter() - begin) / len(table)
        distilled, fine_tuned = (
            partial(_step, _STUDENT_LAYERS, table, goal, device) for goal in (objective, None)
        )
        ratio = compare(f"{task}: PKD step / fine-tuning step", "<= 1.03", distilled, fine_tuned, _TURNS)
        student_step = distilled()
    operations = training_operations(BERT_BASE, BERT_BASE.num_layers, table, _BATCH_SIZE)
    utilisation = tuple(operations / seconds / rate for seconds in teacher_steps)
    teacher_step = float(np.median(teacher_steps))
    detail = f"{1000 * teacher_step:.2f} ms"
    rows = [ratio, Row(f"{task}: utilisation of teacher training", utilisation, ">= 0.4", detail)]
    return Seconds(teacher_step, extraction, student_step), rows


def _alternatives(device: torch.device) -> Iterator[Row]:
    """Yield how much longer steps of transformers' own forward pass take, in MRPC's lengths."""
    table = make_table("MRPC", _BATCH_SIZE * 100)
    teacher_step = partial(_step, BERT_BASE.num_layers, table, None, device)
    for name, is_compiled in (("transformers, autocast", False), ("transformers, compiled", True)):
        other = partial(
            transformers_seconds, _model(BERT_BASE.num_layers, device), table, device, is_compiled=is_compiled
        )
        yield compare(f"MRPC: {name} / pkd, teacher", "", other, teacher_step, _TURNS)
    with tempfile.TemporaryDirectory() as folder:
        objective = make_objective(Path(folder) / "states", BERT_BASE, _STUDENT_LAYERS, table, device)
        live = partial(
            transformers_seconds,
            _model(_STUDENT_LAYERS, device),
            table,
            device,
            teacher=_model(BERT_BASE.num_layers, device),
            objective=objective,
        )
        stored = partial(_step, _STUDENT_LAYERS, table, objective, device)
        yield compare("MRPC: transformers with a live teacher / pkd, student", "", live, stored, _TURNS)


def _minutes(num_rows: int, seconds: Seconds) -> float:
    num_steps = _EPOCHS * np.ceil(num_rows / _BATCH_SIZE)
    trainings = num_steps * (seconds.teacher_step + seconds.student_step)
    return float((trainings + num_rows * seconds.extraction) / 60)


if __name__ == "__main__":
    main()
