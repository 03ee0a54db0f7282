"""Measures how much faster a student is than its teacher, until the answer is certain enough or time is up."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from scipy import stats
from transformers import BertForSequenceClassification

from pkd_core.config.settings import SpeedConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.speed_result import Speed
from pkd_core.model.padding import pad_examples

_CONFIDENCE = 0.95
# With fewer, the interval of that confidence has no ends.
_MIN_ROUNDS = 6
_MAX_ROUNDS = 1000
# How far the interval may reach from the ratio, relative to it, for the measurement to end.
_NARROW = 0.02

Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class _Round:
    """Milliseconds that each model took, for the batch and for a single text."""

    teacher_batch: float
    student_batch: float
    teacher_text: float
    student_text: float

    @property
    def ratio(self) -> float:
        return self.teacher_batch / self.student_batch


def measure_speed(
    student: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    table: TokenTable,
    settings: SpeedConfig,
    device: torch.device,
    machine: str,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> Speed:
    """Time both models over the same texts in rounds, and take the median of the rounds' ratios.

    Both run transformers' own forward pass in float32. They take turns within a round, in the other order in every
    second one, so that whatever slows down the machine for a while slows down both. With one CPU thread, time is what
    the processor spends on that thread, whatever else it computes; otherwise it is what a clock shows.

    The rounds end once the interval around the median reaches no further than 2 % on either side, or at the time limit
    but not before the sixth, or at the 1000th. The first one warms up and is not counted.

    Args:
        student: On the device.
        teacher: On the device.
        table: Source of the texts: those whose lengths are nearest to the median.
        settings: Tokens of the batch, the time limit, and the CPU threads, which torch computes with already.
        device: Where to compute.
        machine: Its model, for the result.
        observe: Called after each round with the seconds gone and the limit; an error that it raises ends the call.
    """
    padded = _typical_batch(table, settings.batch_tokens)
    batch = {name: values.to(device) for name, values in padded.items()}
    text = {name: values[:1].to(device) for name, values in padded.items()}
    # On a GPU, a model's call returns before it is computed: only a clock sees when its result is there.
    clock = time.thread_time if device.type == "cpu" and settings.threads == 1 else time.perf_counter
    limit = math.ceil(settings.max_seconds)
    begin = time.monotonic()
    rounds: list[_Round] = []
    for number in range(_MAX_ROUNDS + 1):
        measured = _time_round(student, teacher, batch, text, clock, teacher_first=number % 2 == 0)
        seconds = time.monotonic() - begin
        observe(min(int(seconds), limit), limit)
        rounds += [measured] if number else []
        if len(rounds) >= _MIN_ROUNDS and (seconds >= settings.max_seconds or _is_narrow(rounds)):
            break
    observe(limit, limit)
    ratios = [one.ratio for one in rounds]
    low, high = median_interval(ratios)
    return Speed(
        ratio=median(ratios),
        low=low,
        high=high,
        rounds=len(rounds),
        batch_size=len(padded["input_ids"]),
        length=padded["input_ids"].shape[1],
        teacher_batch_ms=median(one.teacher_batch for one in rounds),
        student_batch_ms=median(one.student_batch for one in rounds),
        teacher_text_ms=median(one.teacher_text for one in rounds),
        student_text_ms=median(one.student_text for one in rounds),
        machine=machine,
        threads=settings.threads,
    )


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % confidence interval of the median, whatever the values' distribution.

    Its ends are two of the values: each value lies below the true median with probability 1/2, so that the number of
    those below it is binomial.

    >>> median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    (1.0, 6.0)

    Raises:
        ValueError: For fewer than 6 values no interval is that certain.
    """
    if len(values) < _MIN_ROUNDS:
        raise ValueError(f"expected at least {_MIN_ROUNDS} values, got {len(values)}")
    ordered = sorted(values)
    rank = int(stats.binom.ppf((1 - _CONFIDENCE) / 2, len(ordered), 0.5))
    return ordered[rank - 1], ordered[-rank]


def _time_round(
    student: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    batch: Inputs,
    text: Inputs,
    clock: Callable[[], float],
    teacher_first: bool,
) -> _Round:
    turns = [("teacher", teacher), ("student", student)]
    if not teacher_first:
        turns.reverse()
    of_batch = {name: _milliseconds(model, batch, clock) for name, model in turns}
    of_text = {name: _milliseconds(model, text, clock) for name, model in turns}
    return _Round(of_batch["teacher"], of_batch["student"], of_text["teacher"], of_text["student"])


def _is_narrow(rounds: Sequence[_Round]) -> bool:
    ratios = [one.ratio for one in rounds]
    low, high = median_interval(ratios)
    middle = median(ratios)
    return max(high - middle, middle - low) <= _NARROW * middle


def _typical_batch(table: TokenTable, num_tokens: int) -> Inputs:
    """Return texts of about the median length, as many as have `num_tokens` together, but at least one."""
    order = np.argsort(table.lengths, kind="stable")
    middle = len(order) // 2
    size = min(max(num_tokens // int(table.lengths[order[middle]]), 1), len(order))
    start = min(max(middle - size // 2, 0), len(order) - size)
    return pad_examples(table, order[start : start + size].tolist())


@torch.inference_mode()
def _milliseconds(model: BertForSequenceClassification, inputs: Inputs, clock: Callable[[], float]) -> float:
    model.train(False)
    start = clock()
    model(**inputs).logits.cpu()  # waits for a GPU
    return 1000 * (clock() - start)
