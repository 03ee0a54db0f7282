"""Random rows of teacher states, and the shards that they are written to."""

from pathlib import Path

import numpy as np

from pkd_core.teacher_states.format import StatesShape
from pkd_core.teacher_states.writer import StatesWriter

SHAPE = StatesShape(num_layers=3, hidden_size=8, num_outputs=2, dtype="float16")


class Rows:
    def __init__(self, num_rows: int, seed: int = 0, shape: StatesShape = SHAPE) -> None:
        generator = np.random.default_rng(seed)
        self.example_ids = generator.permutation(3 * num_rows)[:num_rows].astype(np.int64)
        self.logits = generator.standard_normal((num_rows, shape.num_outputs), np.float32)
        states = generator.standard_normal((num_rows, shape.num_layers, shape.hidden_size), np.float32)
        self.cls_states = states.astype(shape.dtype)

    def write(self, writer: StatesWriter, step: int = 1000, stop: int | None = None) -> None:
        stop = len(self.example_ids) if stop is None else stop
        for start in range(writer.rows_done, stop, step):
            part = slice(start, min(start + step, stop))
            writer.write(self.example_ids[part], self.logits[part], self.cls_states[part])

    def write_todo(self, writer: StatesWriter) -> None:
        for rows in writer.todo:
            part = slice(rows.start, rows.stop)
            writer.write(self.example_ids[part], self.logits[part], self.cls_states[part])


def write_all(folder: Path, rows: Rows, shard_rows: int = 1500, shape: StatesShape = SHAPE) -> Path:
    with StatesWriter(folder, shape, len(rows.example_ids), shard_rows) as writer:
        rows.write(writer)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
