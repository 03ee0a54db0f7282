"""Two concurrent trainings on one device, in separate processes, against the same two in sequence."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier

import torch

from benchmarks import gpu_steps
from benchmarks.measure import Row, compare
from benchmarks.pkd_training import step_seconds
from benchmarks.workload import MINILM, Size, make_model, make_table
from pkd_core.runtime.device import find_device
from pkd_core.runtime.precision import resolve_precision
from pkd_core.runtime.process_setup import configure_process

_NUM_ROWS = 32 * 60
_NUM_ROWS_ON_CUDA = 32 * 300
_barriers: list[Barrier] = []


@dataclass(frozen=True)
class _Job:
    """A plain fine-tuning, and the number of processes that share the device."""

    task: str
    size: Size
    num_layers: int
    device: str
    num_processes: int


def measure_sharing(
    turns: int,
    device: str = "cpu",
    size: Size = MINILM,
    num_layers: int = 3,
    tasks: tuple[str, ...] = ("SST-2", "RTE"),
) -> Iterator[Row]:
    """Yield the speed-up of two processes that share a device; above 1, concurrent trainings finish sooner."""
    for task in tasks:
        alone, concurrent = (_Job(task, size, num_layers, device, count) for count in (1, 2))
        yield compare(
            f"{task}: steps of two trainings, sequential / concurrent",
            "",
            partial(_seconds_of_two, alone),
            partial(_step_seconds, concurrent),
            turns,
        )


def _seconds_of_two(alone: _Job) -> float:
    return 2 * _step_seconds(alone)


def _step_seconds(job: _Job) -> float:
    """Return the seconds of a step in the slowest of the processes that share the device."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(job.num_processes)
    with ProcessPoolExecutor(job.num_processes, context, _keep, (barrier,)) as pool:
        return max(pool.map(_train, [job] * job.num_processes))


def _keep(barrier: Barrier) -> None:
    _barriers.append(barrier)


def _train(job: _Job) -> float:
    device = find_device(job.device)
    configure_process()
    if device.type == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // job.num_processes))
    on_cuda = device.type == "cuda"
    model = make_model(job.size, job.num_layers)
    table = make_table(job.task, _NUM_ROWS_ON_CUDA if on_cuda else _NUM_ROWS)
    _barriers[0].wait()
    if on_cuda:
        return gpu_steps.step_seconds(model, table, None, device)
    return step_seconds(model, table, None, resolve_precision("auto", device), device)
