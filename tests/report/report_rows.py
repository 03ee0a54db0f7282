"""Rows for the tests of the report."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from pkd_core.evaluation.speed_result import Speed
from pkd_core.report.write import METHODS, BaseModel, ResultRow

BASE = BaseModel("google-bert/bert-base-uncased", "0123456789abcdef" * 4)
GLUE = ("CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE", "WNLI")


def speed(ratio: float) -> Speed:
    """Return a measured speed of a depth, of a teacher that takes 30 ms for a text; its interval is not symmetric."""
    return Speed(
        ratio=ratio,
        low=ratio - 0.02,
        high=ratio + 0.01,
        rounds=9,
        batch_size=4,
        length=32,
        teacher_batch_ms=100.0,
        student_batch_ms=100.0 / ratio,
        teacher_text_ms=30.0,
        student_text_ms=30.0 / ratio,
        machine="AMD EPYC",
        threads=1,
    )


TEACHER = ResultRow(
    task="RTE",
    method="teacher",
    num_layers=12,
    seed=42,
    scores={"dev/accuracy": 0.70},
    selection="dev/accuracy",
    parameters=110_000_000,
    size_bytes=440_000_000,
    speed=None,
    baseline=0.527,
    predicted_classes=2,
    settings={"teacher.learning_rate": 2e-5, "teacher.num_epochs": 4},
    preset="teacher_12layer best RTE",
    best_epoch=3,
    extra={"num_dev": 277},
)


def student(method: str, score: float, seed: int = 1, **changes: object) -> ResultRow:
    row = replace(
        TEACHER,
        method=method,
        num_layers=6,
        seed=seed,
        scores={"dev/accuracy": score},
        parameters=55_000_000,
        size_bytes=220_000_000,
        speed=speed(2.0),
        settings={"student.learning_rate": 2e-5},
        preset="pkd_6layer best RTE",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def many(
    tasks: Sequence[str], depths: Sequence[int] = (6, 3), seeds: Sequence[int] = (1, 2, 3)
) -> list[ResultRow]:
    """Return rows of every method for every task, with scores of realistic size."""
    rng = random.Random(0)
    rows = []
    for task in tasks:
        # WNLI's models all equal the baseline: every point has the same score.
        top = 0.563 if task == "WNLI" else rng.uniform(0.6, 0.93)
        baseline = top if task == "WNLI" else rng.uniform(0.3, top - 0.1)
        rows.append(replace(TEACHER, task=task, scores={"dev/accuracy": top}, baseline=baseline))
        for depth in depths:
            measured = speed(12 / depth + rng.uniform(-0.1, 0.1))
            for method in METHODS[1:]:
                for seed in seeds:
                    loss = 0 if task == "WNLI" else rng.uniform(0, 0.02 * (12 - depth))
                    row = student(method, top - loss, seed, num_layers=depth, task=task, baseline=baseline)
                    rows.append(replace(row, speed=measured))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table_rows(page: str, section: str) -> dict[str, dict[str, str]]:
    """Return a section's table by its first cells, as a reader of markdown sees it."""
    part = page.split(f"\n## {section}\n")[1].partition("\n## ")[0]
    lines = [cells(line) for line in part.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1, "every line has the same number of cells"
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}
