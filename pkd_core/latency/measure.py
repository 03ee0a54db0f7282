"""Times models on texts, one at a time and in batches: in turns, by the CPU's clock.

Array suffixes: V models, N calls.
"""

import gc
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.latency.result import Format, LatencyResult, LatencyRow

BATCH_SIZE = 32
_MIN_CALLS = 20
_WARM_UP_CALLS = 5
# Of the time limit; the rest is for the batches.
_SHARE_OF_SINGLE_TEXTS = 2 / 3

Array = np.ndarray[Any, Any]
# One or two texts.
Example = tuple[str, ...]
Predictor = Callable[[Sequence[Example]], object]


@dataclass(frozen=True)
class Variant:
    """A model in a format.

    Attributes:
        model: Name of its stage.
        format: Type of its weights, and what computes with them.
        predict: Turns texts into logits, tokenising included.
        size_bytes: Size of its file of weights.
    """

    model: str
    format: Format
    predict: Predictor
    size_bytes: int


def measure_latency(
    variants: Sequence[Variant],
    examples: Sequence[Example],
    settings: LatencyConfig,
    machine: str,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> LatencyResult:
    """Time each model on single texts, then on batches sorted by length.

    The models take turns text by text, each text beginning with another model, so that whatever slows down the machine
    for a while slows down all. With one thread, times are what the processor spends on this thread, whatever else it
    computes; with several they are what a clock shows. A few calls come first and are not counted.

    Args:
        variants: The models, which compute with `settings.threads` threads already.
        examples: The user's texts; at least one.
        settings: Number of calls, time limit and threads.
        machine: Model of the processor, for the result.
        observe: Called after each turn with the seconds gone and the limit; an error that it raises ends the call.
    """
    limit = math.ceil(settings.max_seconds)
    begin = time.monotonic()

    def time_is_left(share: float) -> bool:
        seconds = time.monotonic() - begin
        observe(min(int(seconds), limit), limit)
        return seconds < share * settings.max_seconds

    texts = texts_of_all_lengths(examples, settings.num_calls)
    batches = _batches(texts)
    singles = [[text] for text in islice(cycle(texts), settings.num_calls)]
    clock = time.thread_time_ns if settings.threads == 1 else time.process_time_ns
    with _no_garbage_collection():
        _time_in_turns(variants, singles[:_WARM_UP_CALLS], clock, lambda _: True)
        cpu_VN, wall_VN = _time_in_turns(
            variants,
            singles,
            clock,
            lambda done: time_is_left(_SHARE_OF_SINGLE_TEXTS) or done < _MIN_CALLS,
        )
        batch_cpu_VN, batch_wall_VN = _time_in_turns(
            variants, batches, clock, lambda done: time_is_left(1) or done < 1
        )
    observe(limit, limit)
    num_texts = sum(len(batch) for batch in batches[: batch_cpu_VN.shape[1]])
    shown_VN, batch_shown_VN = (cpu_VN, batch_cpu_VN) if settings.threads == 1 else (wall_VN, batch_wall_VN)
    rows = tuple(
        _row(variant, shown_VN[position], wall_VN[position], batch_shown_VN[position], num_texts)
        for position, variant in enumerate(variants)
    )
    wall_over_cpu = (wall_VN.sum() + batch_wall_VN.sum()) / (cpu_VN.sum() + batch_cpu_VN.sum())
    return LatencyResult(rows, machine, settings.threads, BATCH_SIZE, float(wall_over_cpu))


def texts_of_all_lengths(examples: Sequence[Example], number: int) -> list[Example]:
    """Return so many of the examples, or all of fewer: evenly spread over their lengths, in a fixed random order.

    The quantiles of their lengths in characters are thus those of all examples; the long ones decide the p99.

    >>> texts_of_all_lengths([("a" * length,) for length in range(9)], 3)
    [('a',), ('aaaaaaa',), ('aaaa',)]
    """
    ordered = sorted(examples, key=_length)
    number = min(number, len(ordered))
    spread = [ordered[(2 * place + 1) * len(ordered) // (2 * number)] for place in range(number)]
    random.Random(0).shuffle(spread)
    return spread


def _batches(texts: Sequence[Example]) -> list[list[Example]]:
    """Return batches of texts of similar length, in a fixed random order: some of them are as good as all."""
    ordered = sorted(texts, key=_length)
    batches = [ordered[start : start + BATCH_SIZE] for start in range(0, len(ordered), BATCH_SIZE)]
    random.Random(0).shuffle(batches)
    return batches


def _length(example: Example) -> int:
    return sum(map(len, example))


def _time_in_turns(
    variants: Sequence[Variant],
    batches: Iterable[Sequence[Example]],
    clock: Callable[[], int],
    goes_on: Callable[[int], bool],
) -> tuple[Array, Array]:
    """Call every model with each batch while `goes_on` says so of the number done; return CPU and wall time in ns."""
    taken: list[list[tuple[int, int]]] = []
    for number, batch in enumerate(batches):
        if not goes_on(number):
            break
        turn = {}
        for place in range(len(variants)):
            position = (number + place) % len(variants)
            turn[position] = _nanoseconds(variants[position].predict, batch, clock)
        taken.append([turn[position] for position in range(len(variants))])
    cpu_NV, wall_NV = np.moveaxis(np.array(taken, dtype=np.float64), -1, 0)
    return cpu_NV.T, wall_NV.T


def _nanoseconds(predict: Predictor, batch: Sequence[Example], clock: Callable[[], int]) -> tuple[int, int]:
    wall, cpu = time.perf_counter_ns(), clock()
    predict(batch)
    return clock() - cpu, time.perf_counter_ns() - wall


def _row(variant: Variant, shown_N: Array, wall_N: Array, batch_shown_N: Array, num_texts: int) -> LatencyRow:
    p50_ms, p99_ms = _percentiles(shown_N)
    wall_p50_ms, wall_p99_ms = _percentiles(wall_N)
    return LatencyRow(
        model=variant.model,
        format=variant.format,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        wall_p50_ms=wall_p50_ms,
        wall_p99_ms=wall_p99_ms,
        texts_per_second=num_texts / (float(batch_shown_N.sum()) / 1e9),
        num_calls=len(shown_N),
        num_batches=len(batch_shown_N),
        size_bytes=variant.size_bytes,
    )


def _percentiles(nanoseconds_N: Array) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds: two of the times themselves, at least as long as that part of all."""
    p50, p99 = np.percentile(nanoseconds_N, (50, 99), method="inverted_cdf") / 1e6
    return float(p50), float(p99)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from collecting garbage, which it would do in the middle of some call or other."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
