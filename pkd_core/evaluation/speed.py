"""Measures how much faster a student is than its teacher."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.model.padding import pad_examples

_BATCH_SIZE = 32
_NUM_BATCHES = 8


def speed_ratio(
    student: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    table: TokenTable,
    repeats: int,
    device: torch.device,
    observe: Callable[[int], None] = lambda _: None,
) -> float:
    """Return the teacher's time divided by the student's, for the same batches.

    Both run transformers' own forward pass in float32, over up to 8 padded batches of 32 in the table's order. They
    alternate, so that a busy machine slows down both; the first repeat warms up and is not counted.

    Args:
        student: On the device.
        teacher: On the device.
        table: Source of the batches.
        repeats: Number of ratios to take the median of.
        device: Where to compute.
        observe: Called after each repeat with the number done; an error that it raises ends the call.
    """
    num_rows = min(len(table), _BATCH_SIZE * _NUM_BATCHES)
    starts = range(0, num_rows, _BATCH_SIZE)
    padded = [pad_examples(table, range(start, min(start + _BATCH_SIZE, num_rows))) for start in starts]
    batches = [{name: values.to(device) for name, values in batch.items()} for batch in padded]
    ratios: list[float] = []
    for num_done in range(repeats + 1):
        ratio = _seconds(teacher, batches, device) / _seconds(student, batches, device)
        ratios += [ratio] if num_done else []
        observe(num_done)
    return statistics.median(ratios)


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
