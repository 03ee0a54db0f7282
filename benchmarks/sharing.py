"""Two trainings at once on one device, each in a process of its own, beside the same two one after the other."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier

import torch

from benchmarks.measure import Row, compare
from benchmarks.ours import step_seconds
from benchmarks.workload import MINILM, Size, make_model, make_table
from pkd_core.runtime.device import find_device
from pkd_core.runtime.precision import resolve_precision

_NUM_ROWS = 32 * 60
_barriers: list[Barrier] = []


@dataclass(frozen=True)
class _Job:
    """A plain fine-tuning, and how many processes share the device."""

    task: str
    size: Size
    num_layers: int
    device: str
    share: int


def measure_sharing(
    turns: int,
    device: str = "cpu",
    size: Size = MINILM,
    num_layers: int = 3,
    tasks: tuple[str, ...] = ("SST-2", "RTE"),
) -> Iterator[Row]:
    """Yield what sharing a device among two processes wins: above 1, two trainings at once are done sooner."""
    for task in tasks:
        alone, shared = (_Job(task, size, num_layers, device, share) for share in (1, 2))
        yield compare(
            f"{task}: two trainings' steps one after the other / at once",
            "",
            partial(_seconds_of_two, alone),
            partial(_step_seconds, shared),
            turns,
        )


def _seconds_of_two(alone: _Job) -> float:
    return 2 * _step_seconds(alone)


def _step_seconds(job: _Job) -> float:
    """Return the seconds of a step of the slowest of the processes that share the device."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(job.share)
    with ProcessPoolExecutor(job.share, context, _keep, (barrier,)) as pool:
        return max(pool.map(_train, [job] * job.share))


def _keep(barrier: Barrier) -> None:
    _barriers.append(barrier)


def _train(job: _Job) -> float:
    device = find_device(job.device)
    if device.type == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // job.share))
    model, table = make_model(job.size, job.num_layers), make_table(job.task, _NUM_ROWS)
    _barriers[0].wait()
    return step_seconds(model, table, None, resolve_precision("auto", device), device)
