"""How much faster a student is than its teacher."""

import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers import BertForSequenceClassification

from pkd_core.data.batches import TokenTable

_BATCH_SIZE = 32
_NUM_BATCHES = 8


def speed_ratio(
    student: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    table: TokenTable,
    repeats: int,
    device: torch.device,
) -> float:
    """Return how many times longer the teacher takes for the same batches.

    Both run as transformers runs them, over a few padded batches of 32 in the table's order, in float32, by turns so
    that a busy machine slows both; the first turn warms up and is not counted.

    Args:
        student: On the device.
        teacher: On the device.
        table: Where the batches come from.
        repeats: Turns to take the median ratio of.
        device: Where to compute.
    """
    num_rows = min(len(table), _BATCH_SIZE * _NUM_BATCHES)
    starts = range(0, num_rows, _BATCH_SIZE)
    batches = [_padded(table, range(start, min(start + _BATCH_SIZE, num_rows)), device) for start in starts]
    ratios = [
        _seconds(teacher, batches, device) / _seconds(student, batches, device) for _ in range(repeats + 1)
    ]
    return statistics.median(ratios[1:])


def _padded(table: TokenTable, rows: range, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the rows as transformers wants them, padded to the longest."""
    length = int(table.lengths[rows.start : rows.stop].max())
    inputs = np.zeros((3, len(rows), length), dtype=np.int64)
    for place, row in enumerate(rows):
        tokens = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        inputs[0, place, : len(tokens)] = tokens
        inputs[1, place, table.second_starts_R[row] : len(tokens)] = 1
        inputs[2, place, : len(tokens)] = 1
    names = ("input_ids", "token_type_ids", "attention_mask")
    return {name: torch.from_numpy(values).to(device) for name, values in zip(names, inputs, strict=True)}


@torch.inference_mode()
def _seconds(
    model: BertForSequenceClassification, batches: Sequence[Mapping[str, torch.Tensor]], device: torch.device
) -> float:
    model.train(False)
    start = time.perf_counter()
    for batch in batches:
        model(**batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
