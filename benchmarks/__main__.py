"""Runs all benchmarks, or those named, and prints one table."""

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Mapping

import torch

from benchmarks.extraction import measure_extraction
from benchmarks.gathering import measure_gathering
from benchmarks.measure import Row, markdown_table
from benchmarks.orchestration import measure_orchestration
from benchmarks.scaling import measure_scaling
from benchmarks.steps import measure_steps
from benchmarks.tokenizing import measure_tokenizing
from pkd_core.runtime.process_setup import configure_process

BENCHMARKS: Mapping[str, Callable[[int], Iterator[Row]]] = {
    "steps": measure_steps,
    "extraction": measure_extraction,
    "gathering": measure_gathering,
    "tokenizing": measure_tokenizing,
    "scaling": measure_scaling,
    "orchestration": measure_orchestration,
}


def main() -> None:
    """Run the benchmarks named on the command line, and print their table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*BENCHMARKS, []], help="benchmarks to run; all by default"
    )
    parser.add_argument("--turns", type=int, default=5, help="number of ratios per median")
    arguments = parser.parse_args()
    configure_process()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}", flush=True)
    rows = []
    for name in arguments.names or BENCHMARKS:
        for row in BENCHMARKS[name](arguments.turns):
            print(f"{row.name}: {row.median:.3g}", file=sys.stderr, flush=True)
            rows.append(row)
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
