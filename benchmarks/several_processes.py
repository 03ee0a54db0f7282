"""One training in several processes, against one process: `python -m benchmarks.several_processes --processes 2`.

On CPUs a process has one thread, and is compared with one process of one thread, and of as many threads as there are
processes. On GPUs (`--device cuda`) each has one of its own, and computes 32 examples of a batch. It needs neither
Prefect nor MLflow.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.measure import Row, markdown_table
from benchmarks.pkd_training import train_observed
from benchmarks.workload import BERT_BASE, MINILM, make_model, make_table
from pkd_core.config.settings import TrainingConfig
from pkd_core.runtime.group import ONE_PROCESS
from pkd_core.runtime.process_group import join
from pkd_core.runtime.process_setup import configure_process

_EXAMPLES_OF_A_PART = 32
_NUM_STEPS = 12
_NUM_STEPS_ON_CUDA = 200


@dataclass(frozen=True)
class Part:
    """One process of a training.

    Attributes:
        rank: Its number.
        size: How many processes there are.
        parts: Parts of a batch.
        threads: CPU threads of the process.
        device: Where it computes.
        task: Gives the lengths of examples.
        meeting: The file over which the processes find each other.
        started: When the processes were started, in seconds since 1970.
    """

    rank: int
    size: int
    parts: int
    threads: int
    device: str
    task: str
    meeting: str
    started: float


def measure_several_processes(turns: int, size: int, device: str, tasks: list[str]) -> Iterator[Row]:
    """Yield how many times faster the steps of several processes are, and what starting them takes."""
    threads = [1] if device == "cuda" else [1, size]
    for task in tasks:
        figures = []
        for _ in range(turns):
            one = {count: _run(1, size, count, device, task) for count in threads}
            figures.append((_run(size, size, 1, device, task), one))
        for count in threads:
            ratios = tuple(one[count]["step"] / several["step"] for several, one in figures)
            first, second = (
                statistics.median(values) * 1000
                for values in zip(
                    *((one[count]["step"], several["step"]) for several, one in figures), strict=True
                )
            )
            name = f"{task}: step of 1 process of {count} threads / of {size} of 1 thread"
            yield Row(name, ratios, detail=f"{first:.0f} ms / {second:.0f} ms")
        if device == "cpu":
            # On a busy machine two processes get twice the time of one; this compares what they really use.
            used = tuple(one[1]["processor"] / several["processor"] for several, one in figures)
            yield Row(f"{task}: processor's time for a step of 1 process / of each of {size}", used)
        waits = tuple(several["start"] - one[1]["start"] for several, one in figures)
        yield Row(f"{task}: seconds until the first step beyond those of 1 process", waits)


def _run(size: int, parts: int, threads: int, device: str, task: str) -> dict[str, float]:
    """Train in so many processes, and return the seconds of a step, and those until the first one has ended."""
    with tempfile.TemporaryDirectory() as folder:
        started, processes = time.time(), []
        for rank in range(size):
            where = f"cuda:{rank}" if device == "cuda" else device
            part = Part(rank, size, parts, threads, where, task, f"{folder}/meeting", started)
            command = [
                sys.executable,
                "-m",
                "benchmarks.several_processes",
                "--part",
                json.dumps(asdict(part)),
            ]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        outputs = [process.communicate()[0] for process in processes]
    assert not any(process.returncode for process in processes), "a process failed"
    figures: dict[str, float] = json.loads(outputs[0])
    return figures


def _train_part(part: Part) -> dict[str, float]:
    device, on_cuda = torch.device(part.device), part.device != "cpu"
    torch.set_num_threads(part.threads)
    group = ONE_PROCESS if part.size == 1 else join(part.rank, part.size, Path(part.meeting), device)
    clock, begun = _Clock(), time.perf_counter() - (time.time() - part.started)
    # The same batches on CPUs however many processes there are; on GPUs as many examples for each.
    batch_size = _EXAMPLES_OF_A_PART * (part.parts if on_cuda else 1)
    num_steps = _NUM_STEPS_ON_CUDA if on_cuda else _NUM_STEPS
    table = make_table(part.task, batch_size * num_steps)
    model = make_model(BERT_BASE, 12) if on_cuda else make_model(MINILM, 3)
    settings = TrainingConfig(
        learning_rate=1e-5,
        num_epochs=1,
        batch_size=batch_size,
        accumulation_steps=part.parts,
        precision="bfloat16" if on_cuda else "float32",
    )
    train_observed(model, table, settings, clock, device, group=group)
    half = num_steps // 2
    wall, processor = (
        (ends[num_steps - 1] - ends[half]) / (num_steps - 1 - half) for ends in (clock.ends, clock.used)
    )
    return {"step": wall, "processor": processor, "start": clock.ends[0] - begun}


class _Clock:
    """An observer that notes when each step ended, and the processor's time until then."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.used: list[float] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore the losses."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Note the times."""
        self.ends.append(time.perf_counter())
        self.used.append(time.process_time())

    def flush(self) -> None:
        """Do nothing."""


def main() -> None:
    """Measure, and print a table; or, as one process of a training, its figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.several_processes", description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="processes of the training")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--tasks", nargs="+", default=["SST-2", "RTE"], help="whose lengths the examples have"
    )
    parser.add_argument("--turns", type=int, default=5, help="number of ratios per median")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        configure_process()
        print(json.dumps(_train_part(Part(**json.loads(arguments.part)))))
        return
    rows = measure_several_processes(arguments.turns, arguments.processes, arguments.device, arguments.tasks)
    print(f"torch {torch.__version__}", flush=True)
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
